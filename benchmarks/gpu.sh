#!/usr/bin/env bash
# All pieces of the GPU's benchmark in turn, each within eight minutes; the same command goes on.
#
#   benchmarks/gpu.sh [--dry-run] [--out FOLDER] [--data FOLDER] [--minutes N] [PIECE...]
#
# Results go to FOLDER, to $OUT where it is set, else to runs/gpu. --dry-run does all of it on the
# processor, with tiny sizes, in a temporary folder. Exit code: 0 all done, 3 something is not
# finished (run it again), 1 something failed. docs/gpu.md says how to read what comes of it.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-runs/gpu} options=() pieces=() limit=480 dry=
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry=1 ;;
    --out) out=$2; shift ;;
    --data | --minutes) options+=("$1" "$2"); shift ;;
    -*) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
    *) pieces+=("$1") ;;
  esac
  shift
done
if [ ${#pieces[@]} = 0 ]; then
  pieces=(facts parity speed train-speed score train)
fi
if [ -n "$dry" ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
  options+=(--quick --device cpu)
fi
mkdir -p "$out"
code=0
for piece in "${pieces[@]}"; do
  began=$SECONDS
  timeout --kill-after=10 "$limit" python -m benchmarks.gpu "$piece" --out "$out" "${options[@]}" \
    2>&1 | tee -a "$out/gpu.log"
  one=${PIPESTATUS[0]}
  echo "== $piece: exit code $one, $((SECONDS - began)) s" | tee -a "$out/gpu.log"
  case $one in
    0) ;;
    3 | 124) [ $code = 1 ] || code=3 ;;
    *) code=1 ;;
  esac
done
if [ -n "$dry" ] && [ $code != 0 ]; then
  echo "the dry run failed"
  exit 1
fi
exit $code
