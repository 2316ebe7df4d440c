//! The machine, its kernel and its limits.

use super::known;

known! {
    "illegal-instruction": Machine;
        ["Illegal instruction"], ["illegal instruction"], ["SIGILL"], ["exit code 132"], ["exited with code 132"],
        ["compiled to use", "instructions, but these aren't available"];
        "the processor lacks an instruction that a library uses: an op built with -march=native, or TensorFlow's wheel (AVX) on an old machine";
        "build ops with the pinned flags: the ABI gate names each one's ISA level; use machines above the wheel's floor";
        "cargo xtask doctor (on that machine)";
    "bus-error": Image;
        ["Bus error"], ["SIGBUS"], ["exit code 135"], ["exited with code 135"];
        "a mapped file ends before its headers say: a `.so` was cut off; or /dev/shm is full";
        "start the image by digest with nothing mounted over it; the entrypoint compares sizes";
        "lockstep-check (in the container)";
    "out-of-memory": Machine;
        ["Out of memory: Killed process"], ["OOMKilled"], ["exit code 137"], ["exited with code 137"], ["std::bad_alloc"];
        "the task was killed for its memory, or by somebody's SIGKILL";
        "raise `memory` of the role in workspace.toml; a task that only imports TensorFlow needs 300 MB";
        "cargo xtask doctor";
    "no-temporary-folder": Machine;
        ["No usable temporary directory found"];
        "no folder can be written: /tmp is not mounted";
        "give the container a tmpfs at /tmp, as rendered files do";
        "cargo xtask cluster render";
    "no-random-device": Machine;
        ["random_device: device not available"];
        "there is no /dev/urandom in the container";
        "start it with an engine, not with a bare chroot";
        "cargo xtask doctor";
    "user-namespaces": Machine;
        ["unshare", "Operation not permitted"], ["unshare failed"], ["No permissions to create new namespace"];
        "the kernel or the container around refuses user namespaces";
        "allow them (sysctl, --security-opt seccomp=unconfined), or build with `--engine docker`";
        "cargo xtask doctor";
    "merged-usr": Build;
        ["bwrap: execvp"], ["cannot execute: required file not found"];
        "the root has no program interpreter: /bin or /lib64 are not links into /usr";
        "use the roots that Lockstep assembles: `dpkg-deb -x` replaces these links by folders";
        "cargo xtask shell --root builder";
    "no-network-in-build": Build;
        ["Network is unreachable"];
        "something asks for a network where there is none: a build action, or a cluster that is internal";
        "pin what it fetches in workspace.toml; data sets belong to the training job, not to the build";
        "cargo xtask build-ops";
    "disk-full": Machine;
        ["No space left on device"];
        "a disk or tmpfs is full";
        "make room: `cargo xtask store gc`, or raise the size of the tmpfs";
        "cargo xtask doctor";
}
