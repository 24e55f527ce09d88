#!/bin/sh
# A folder on a shared file system, in as many parts as the array has tasks.
#
#     sbatch --array=0-63 deploy/slurm/array.sh /scratch/photos /scratch/cutouts
#
# A task that is lost may be queued again: what is done is skipped. Exit code 1 means that some pictures failed;
# they are in the task's journal.
#SBATCH --job-name=qbg
#SBATCH --cpus-per-task=16
#SBATCH --mem=8G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
set -eu
source=$1
target=$2
index=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN))
mkdir -p "$target.journal"
# exec: the signal at the end of the time reaches qbg, which finishes what it has in hand.
exec qbg remove "$source" "$target" --shard "$index/$SLURM_ARRAY_TASK_COUNT" \
    --workers "$SLURM_CPUS_PER_TASK" --journal "$target.journal/$index.jsonl" --resume
