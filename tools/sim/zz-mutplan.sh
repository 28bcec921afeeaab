cd /tmp/h3
export BELFRY_MUTATION="$(node tools/sim/zz-mut.ts "$1")"
exec node --import /tmp/h3/tools/sim/mutate.ts tools/sim/zz-plan.ts
