import type { ChaosCase } from '../scene.ts';
import { BROKER_STATE } from './broker-state.ts';
import { CLOCKS } from './clocks.ts';
import { DELETED_STREAMS } from './deleted-streams.ts';
import { FAILPOINTS, SECOND_FAILPOINTS } from './failpoints.ts';
import { KILLS } from './kills.ts';
import { LOADS, MANY, SCALE, STORM } from './many.ts';
import { MISSED } from './missed.ts';
import { NATS, NATS_CLUSTER, NATS_DISK, NATS_PARTITIONS } from './nats.ts';
import { NETWORK } from './network.ts';
import { PAUSES } from './pauses.ts';
import { POSTGRES, POSTGRES_PAIR, POSTGRES_SLOW } from './postgres.ts';
import { FLEET, WORKERS } from './workers.ts';

/** All cases, in the order in which they run: those of one kind of cluster together. */
export const CASES: readonly ChaosCase[] = [
  ...[
    KILLS,
    FAILPOINTS,
    PAUSES,
    CLOCKS,
    NATS,
    BROKER_STATE,
    DELETED_STREAMS,
    WORKERS,
    LOADS,
    MISSED,
    MANY,
    POSTGRES,
  ].flat(),
  ...SECOND_FAILPOINTS,
  ...[NETWORK, POSTGRES_SLOW].flat(),
  ...NATS_DISK,
  ...NATS_CLUSTER,
  ...NATS_PARTITIONS,
  ...STORM,
  ...SCALE,
  ...FLEET,
  ...POSTGRES_PAIR,
];
