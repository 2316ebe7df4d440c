#!/bin/bash
# newest.sh SUITE OUT: makes of the Bazel package of another Debian suite one executable file,
# as an official release binary is one, that runs in a builder root with an older glibc;
# prints its version.
#
# The file is a shell script with a tar archive behind it. Its libraries, its loader and its
# Java come along; every ELF file of it is told to use these and no others, so that no
# variable is needed, and what Bazel starts (the compiler) is the builder root's own.
# The archive is unpacked once, below /out, which the build keeps. Needs apt and dpkg.
set -euo pipefail
suite=$1 out=$(realpath -m "$2") work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
place=/out/newest

mkdir -p lists/partial cache/archives/partial debs
: >status
uri=$(awk '/^URIs:/ {print $2; exit} /^deb / {for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) {print $i; exit}}' \
	/etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" >sources.list
apt() {
	apt-get -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status" \
		-o Dir::Cache="$work/cache" -o Acquire::Languages=none -o APT::Sandbox::User=root \
		-o Acquire::Check-Valid-Until=false -o APT::Install-Recommends=false -qq "$@"
}
apt update
# Of its 250 packages (and 715 MB) those that Bazel's client and server load.
apt install -s bazel-bootstrap | awk '/^Inst/ {print $2}' >all
needed=$(grep -E '^(bazel-.*|patchelf|openjdk-.*-jre-headless|libabsl.*|libc6|libcares2|libgcc-s1|libgpr.*|libgrpc.*|libprotobuf.*|libre2-.*|libssl3.*|libstdc\+\+6|libzstd1|zlib1g|lib.*-java|velocity)$' all |
	grep -vE '^lib(bcprov|eclipse|jetty|jgit|jsch|log4j|maven|javaparser|tomcat|jackson|guice|jacoco|http|plexus)')
(cd debs && apt download patchelf $needed)
for deb in debs/*.deb; do dpkg-deb -x "$deb" x; done

version=$(dpkg-deb -f debs/bazel-bootstrap_*.deb Version)
mkdir -p tree/{lib,bin}
cp -L x/usr/lib/x86_64-linux-gnu/*.so.* tree/lib/
cp x/usr/bin/bazel tree/bin/bazel
cp -r x/usr/share/bazel tree/install
for tool in build-runfiles daemonize linux-sandbox process-wrapper; do
	cp --remove-destination x/usr/libexec/x86_64-linux-gnu/bazel/$tool tree/install/$tool
done
cp --remove-destination x/usr/libexec/x86_64-linux-gnu/bazel/zipper tree/install/embedded_tools/tools/zip/zipper/zipper
rm -f tree/install/libcpu_profiler.so
# The server's own archive does not hold the libraries of other packages; Debian's list of
# them is not complete (perfmark), so it becomes all of them.
cp -r x/usr/share/java tree/java
(cd tree/java && ls -- *.jar) | sed "s:^:$place/java/:" >tree/install/bazel_classpath_debian_depends.txt
cp -r "$(find x/usr/lib/jvm -mindepth 1 -maxdepth 1 -type d)" tree/jvm
# Settings of Java are links into /etc.
find tree/jvm -type l -lname '/etc/*' | while read -r link; do
	cp -rL --remove-destination "x$(readlink "$link")" "$link" 2>/dev/null || rm "$link" # no certificates
done
rm -rf tree/jvm/{legal,man,docs}

# Debian's package takes the libraries that its own rules load out of Bazel.
for pair in bazel_features=tools/features bazel_skylib=tools/skylib rules_license=rules/license \
	rules_proto=rules/proto rules_python=rules/python; do
	[ ! -d "tree/install/${pair#*=}" ] || echo "common --override_repository=${pair%%=*}=$place/install/${pair#*=}"
done >tree/bazelrc

# patchelf is of the same suite: it runs by the same loader.
patchelf() {
	tree/lib/ld-linux-x86-64.so.2 --library-path tree/lib x/usr/bin/patchelf "$@"
}
find tree/bin tree/install tree/jvm -type f \( -perm -100 -o -name '*.so' \) | while read -r file; do
	[ "$(head -c4 "$file" | tail -c3)" = ELF ] || continue
	patchelf --force-rpath --set-rpath "\$ORIGIN:\$ORIGIN/../lib:$place/lib" "$file"
	case $file in *.so) ;; *) patchelf --set-interpreter "$place/lib/ld-linux-x86-64.so.2" "$file" ;; esac
done

cat >"$out" <<SCRIPT
#!/bin/bash
# Bazel of another suite, with all that it needs: see newest.sh.
set -e
if [ ! -e $place/whole ]; then
	rm -rf $place
	mkdir -p $place
	tail -c +SIZE "\$0" | python3 -c 'if True: # the builder root has no tar
		import sys, tarfile
		tarfile.open(fileobj=sys.stdin.buffer, mode="r|gz").extractall("$place")'
	touch $place/whole
fi
exec $place/bin/bazel --bazelrc=$place/bazelrc --install_base=$place/install --trust_install_base --server_javabase=$place/jvm "\$@"
SCRIPT
size=$(($(stat -c %s "$out") - 4 + 6 + 1)) # SIZE becomes six digits
sed -i "s/+SIZE/+$(printf %06d $size)/" "$out"
tar -C tree -cf - . | gzip -1 >>"$out"
chmod +x "$out"
echo "${version%%+*}"
