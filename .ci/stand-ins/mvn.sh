#!/bin/sh
# mvn … -DoutputDirectory=FOLDER: copies the one artifact that this image has, whatever was asked for, under a name with a version.
set -eu
for argument; do
  case $argument in -DoutputDirectory=*) folder=${argument#*=} ;; esac
done
mkdir -p "$folder"
cp /job-server.jar "$folder/beam-runners-flink-job-server-0.jar"
