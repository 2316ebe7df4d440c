"""As TensorFlow's own: wheels that pip downloads, and the version that git tells."""

def _pip_wheel_impl(ctx):
    ctx.download(ctx.attr.pip_url, "pip.whl", ctx.attr.pip_sha256)
    asked = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", "wheels"]
    done = ctx.execute(["/usr/bin/python3", "pip.whl/pip"] + asked + [ctx.attr.requirement])
    if done.return_code:
        fail("pip: " + done.stderr)
    ctx.file("BUILD", "exports_files(glob(['wheels/*.whl']))\nfilegroup(name = 'whl', srcs = glob(['wheels/*.whl']), visibility = ['//visibility:public'])")

pip_wheel = repository_rule(
    implementation = _pip_wheel_impl,
    attrs = {
        "pip_sha256": attr.string(),
        "pip_url": attr.string(),
        "requirement": attr.string(),
    },
)

def _version_impl(ctx):
    git = ctx.path(Label("//:WORKSPACE")).dirname.get_child(".git")
    commit = ctx.read(git.get_child("HEAD")).strip()
    tags = git.get_child("refs").get_child("tags").readdir()
    described = "%s-0-g%s" % (tags[0].basename, commit[:11])
    ctx.file("version.cc", "extern \"C\" const char tf_git_version[] = \"%s\";\n" % described)
    ctx.file("BUILD", "exports_files(['version.cc'])")

version = repository_rule(implementation = _version_impl)
