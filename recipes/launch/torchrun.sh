#!/bin/bash
# Trains on all GPUs of several machines by torchrun, without a scheduler. Run it on each machine:
#
#     MASTER_ADDR=first.machine NODES=2 recipes/launch/torchrun.sh speech_16k --data DATA --run RUN
#
# On a single machine, codec train --devices does the same. SIGTERM, Ctrl-C and SIGUSR1 to torchrun reach all processes
# of its machine, and through them those of the others: the run writes a checkpoint and ends.
exec torchrun \
    --nnodes="${NODES:-1}" \
    --nproc-per-node="${DEVICES:-gpu}" \
    --rdzv-backend=c10d \
    --rdzv-id="${RUN_ID:-codec}" \
    --rdzv-endpoint="${MASTER_ADDR:-localhost}:${MASTER_PORT:-29500}" \
    --signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 \
    -m -- codec train "$@" # without --, torchrun takes --run for an option of its own
