#!/bin/sh
# A study on a Slurm cluster: every task of the array is the same worker, and they find each other in the database.
#
#   STUDY=study.yaml STORAGE=postgresql://me@db.cluster/studies OUT=/shared/runs/study sbatch docs/hosts/slurm_array.sh
#
# The password is libpq's to find (~/.pgpass, PGPASSWORD), so that it stands in no command line. OUT is on a file system that all
# nodes share. A minute before its time is over a task gives its training back, with its checkpoint; one that is killed is replaced
# after its lease. Tasks that are requeued, or added by another sbatch, join.
#SBATCH --job-name=mmspec-search
#SBATCH --array=0-15
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
exec mmspec search "${STUDY:?a study file}" --worker --storage "${STORAGE:?postgresql://user@host/name}" -o "${OUT:?a shared folder}"
