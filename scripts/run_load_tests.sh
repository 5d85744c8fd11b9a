#!/usr/bin/env bash
# Run every load plan against a server, one after the other, each with its report, CSV and HTML.
#   scripts/run_load_tests.sh                     against SEATRIAL_TARGET, or http://127.0.0.1:8000
#   QUICK=1 scripts/run_load_tests.sh             20 s each: too short for the p99 of `medium`, which is not proven then
#   scripts/run_load_tests.sh --slo strict        flags go to every `seatrial trial load`
# Results: ./trials/<time>/<plan>/. Exit code: the worst of the plans' (0 pass, 1 fail, 3 not proven, 4 could not run).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd) # no cd for good: paths among the arguments are the caller's

"$root/scripts/setup"
results="trials/$(date -u +%Y%m%dT%H%M%SZ)"
mkdir -p "$results"
flags=("--")
if [ -n "${QUICK:-}" ]; then
  flags=(--duration 20s "--")
fi

worst=0
for plan in smoke baseline medium high stress; do
  status=0
  "$root/.venv/bin/seatrial" trial load --out "$results/$plan" "$@" "${flags[@]}" "$plan" > "$results/$plan.txt" 2>&1 || status=$?
  case $status in
    0) verdict="pass" ;;
    1) verdict="FAIL" ;;
    3) verdict="not proven" ;;
    *) verdict="could not run: $(tail -1 "$results/$plan.txt")" ;;
  esac
  printf '%-9s %-11s %s\n' "$plan" "$verdict" "$results/$plan/report.html"
  if [ "$status" = 2 ] || [ "$status" = 4 ]; then
    cat "$results/$plan.txt" >&2
    exit "$status"
  fi
  # A failure is worse than a run that proved nothing.
  if [ "$status" = 1 ] || { [ "$status" = 3 ] && [ "$worst" = 0 ]; }; then
    worst=$status
  fi
done
exit "$worst"
