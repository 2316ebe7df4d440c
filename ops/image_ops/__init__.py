"""TensorFlow ops for the input pipeline of image models."""
import lockstep_loader
_ops = lockstep_loader.load("image_ops")
decode_qoi = _ops.decode_qoi
decode_qoi_batch = _ops.decode_qoi_batch
crop_flip_normalize = _ops.crop_flip_normalize
