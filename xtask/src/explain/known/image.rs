//! What Lockstep's own entrypoint refuses, and images.

use super::known;

known! {
    "workspace-id": Image;
        ["the cluster expects workspace"];
        "the task's image is not of the workspace that the cluster's files were made for: a stale image under a tag, or files of another build";
        "write the files anew and push the image: `cargo xtask image`, `cargo xtask cluster render`";
        "cargo xtask cluster verify --docker";
    "image-changed": Image;
        ["is not what the image was made with"], ["is not in the image's manifests"];
        "a file in the container is not the image's: something is mounted over it, was installed there, or the disk is damaged";
        "mount nothing into site-packages; start the image by its digest";
        "lockstep-check (in the container)";
    "inherited-path": Cluster;
        ["LD_LIBRARY_PATH is `"], ["PYTHONPATH is `"], ["LD_PRELOAD is `"], ["PYTHONHOME is `"], ["LD_AUDIT is `"], ["PYTHONUSERBASE is `"], ["TF_PLUGGABLE_DEVICE_LIBRARY_PATH is `"];
        "the task inherited a search path that leads to other code than the image's";
        "leave the variable alone in the cluster's files";
        "cargo xtask cluster lint FILES";
    "tf-config-refused": Cluster;
        ["error: TF_CONFIG: "];
        "the entrypoint checked TF_CONFIG by TensorFlow's rules before anything started";
        "write the files with `cargo xtask cluster render`";
        "cargo xtask cluster lint FILES";
    "no-tensorflow": Image;
        ["No module named 'tensorflow'"], ["No module named tensorflow"];
        "Python does not find TensorFlow: PYTHONPATH was changed, or it is not the image's Python";
        "leave PYTHONPATH alone and run `python3` of the image";
        "cargo xtask cluster lint FILES";
    "shadowed-tensorflow": Image;
        ["AttributeError: module 'tensorflow' has no attribute"];
        "another file or folder called tensorflow stands before the image's on Python's path: PYTHONPATH, or one beside the script";
        "leave PYTHONPATH alone, and call no script or folder `tensorflow`";
        "cargo xtask cluster lint FILES";
    "image-not-found": Image;
        ["manifest unknown"], ["manifest for ", " not found"], ["ErrImagePull"], ["ImagePullBackOff"];
        "the registry has no image of that name and digest: it was not pushed, or to another repository";
        "push dist/image to the repository of [cluster], or mend `image` in workspace.toml";
        "cargo xtask verify dist/image";
    "other-architecture": Image;
        ["exec format error"], ["Exec format error"];
        "the image is for another processor architecture than the machine";
        "use machines of the platform that workspace.toml pins";
        "cargo xtask doctor";
}
