#!/bin/sh
# Starts Flink in the foreground: jobmanager, standalone-job or taskmanager with its arguments; anything else is run as it is.
set -eu
case ${1-} in
  jobmanager) main=runtime.entrypoint.StandaloneSessionClusterEntrypoint ;;
  standalone-job) main=container.entrypoint.StandaloneApplicationClusterEntryPoint ;;
  taskmanager) main=runtime.taskexecutor.TaskManagerRunner ;;
  *) exec "$@" ;;
esac
shift
exec java @"$FLINK_HOME/conf/java" -Dorg.apache.logging.log4j.level=INFO \
  -cp "$FLINK_HOME/lib/*:$FLINK_HOME/usrlib/*" "org.apache.flink.$main" --configDir "$FLINK_HOME/conf" "$@"
