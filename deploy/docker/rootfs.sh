#!/bin/sh
# Lays out the whole file system of the image: the program, the libraries that it is linked to, and the few
# files that they read. No shell, no package manager.   deploy/docker/rootfs.sh PROGRAM FOLDER
#
# The C library stays dynamic: its allocator is what the figures in the README were measured with, and since
# 2.34 it looks up names without loading anything further.
set -eu

program="$1" folder="$2"
mkdir -p "$folder/etc/isovec" "$folder/etc/ssl/certs" "$folder/usr/bin"
cp "$program" "$folder/usr/bin/isovec"

# `ldd` prints the libraries as `name => path (address)`, the loader as `path (address)`, and of a static
# program nothing that begins with a path.
ldd "$program" | sed -n 's|^.* => \(/[^ ]*\) .*|\1|p; s|^[[:space:]]*\(/[^ ]*\) (.*|\1|p' |
  while read -r library; do
    mkdir -p "$folder$(dirname "$library")"
    cp -L "$library" "$folder$library"
  done

# Without them isovec trusts the authorities that it was compiled with; with them, also one that is added here.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
  cp -L /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
fi

echo 'isovec:x:65532:65532::/:/sbin/nologin' >"$folder/etc/passwd"
echo 'isovec:x:65532:' >"$folder/etc/group"
echo 'hosts: files dns' >"$folder/etc/nsswitch.conf"
cp "$(dirname "$0")/isovec.yaml" "$folder/etc/isovec/isovec.yaml"
