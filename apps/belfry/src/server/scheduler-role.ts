import { SYSTEM_TIMERS } from '@belfry/actor-runtime';
import { renderTask } from '@belfry/gateway';
import { levelOf, type Placement } from '@belfry/ports';
import { LIMITS, subjects, TooNew } from '@belfry/protocol';
import { SchedulerNode, type Crashes, type Log, type NodeShards, type NodeStatus } from '@belfry/scheduler';
import { calm } from './calm.ts';
import type { ClockWatch } from './clock-watch.ts';
import type { Hearing } from './hearing.ts';
import type { LevelWatch } from './level-watch.ts';
import type { Metrics } from './metrics.ts';
import { onceATurn } from './once-a-turn.ts';
import type { Platform } from './platform.ts';
import { untilSetUp } from './set-up.ts';
import { nodeHeartbeat } from './supervisor-role.ts';
import { schedulerTracer } from './tracing.ts';

export interface SchedulerRole {
  status(): NodeStatus;
  shards(): NodeShards;
  /** Resolves when every shard of the first placement is owned. */
  ready(): Promise<void>;
  stop(): Promise<void>;
}

/** Hosts shards: follows the placement, and tells the supervisor that it is there. */
export async function startScheduler(options: {
  readonly platform: Platform;
  readonly level: LevelWatch;
  readonly watch: ClockWatch;
  readonly hearing: Hearing;
  readonly node: string;
  readonly metrics: Metrics;
  readonly log: Log;
}): Promise<SchedulerRole> {
  const { platform, level, watch, hearing, node, metrics, log } = options;
  const { messenger } = platform;
  const scheduler = new SchedulerNode(
    {
      node,
      shards: platform.shards,
      inbox: platform.inbox,
      work: platform.work,
      store: platform.postgres.checkpoints,
      messenger,
      clock: watch.clock,
      timers: SYSTEM_TIMERS,
      calm: (goesOn) => calm(SYSTEM_TIMERS, watch.clock, goesOn),
      log,
      metrics: metrics.scheduler,
      tracer: schedulerTracer(),
      reads: level.reads,
      renderTask,
    },
    crashes(platform, level, log),
  );
  await untilSetUp(() => scheduler.start(), {
    timeoutMs: LIMITS.connectMs,
    onRetry: (error) => log.warn('the work stream cannot be made yet, trying again', { error: error.message }),
  });
  gauges(metrics, scheduler);
  let leaving = false;
  const beat = (): void => {
    if (hearing.isDeaf && !leaving) return; // so that it is taken for dead: what is sent now could wait in the connection for long
    const goes = leaving || !watch.isFit;
    messenger.tell(subjects.nodeHeartbeat, nodeHeartbeat(node, scheduler.status().owned, goes, watch.clock.wall()));
  };
  const timer = setInterval(beat, LIMITS.nodeHeartbeatMs);
  beat();
  const placed = Promise.withResolvers<void>();
  let latest: Placement = { term: 0, version: 0, nodes: [], assignment: [] };
  let onPlaced: () => void = () => undefined;
  const follow = (): void => {
    onPlaced();
    if (level.isOutdated && latest.nodes.includes(node)) return; // it takes nothing more
    scheduler.place(watch.isFit ? latest : { ...latest, nodes: [], assignment: [] });
    if (!watch.isFit || latest.nodes.includes(node)) placed.resolve(); // a node with a wrong clock has what it should: nothing
  };
  watch.onFitness({
    changed: () => {
      beat(); // the supervisor hears it first
      follow();
    },
    ownsShards: async () => {
      await scheduler.settled();
      return scheduler.status().owned.length > 0;
    },
  });
  const placements = await platform.placements.watch((placement) => {
    latest = placement;
    if (!level.reached(levelOf(placement)) && !leaving) {
      leaving = true; // the shards are for those that can read what comes
      beat();
    }
    follow();
  });
  /** Resolves when the placement does not name this node any more; soon, when it has no other or no supervisor answers. */
  const isPlacedElsewhere = async (): Promise<void> => {
    const names = (): boolean => latest.nodes.includes(node);
    if (!names() || latest.nodes.length === 1) return;
    await new Promise<void>((resolve) => {
      const late = setTimeout(resolve, LIMITS.nodeSilentMs);
      onPlaced = () => {
        if (names()) return;
        clearTimeout(late);
        resolve();
      };
    });
  };
  return {
    status: () => scheduler.status(),
    shards: () => scheduler.shards(),
    ready: async () => {
      await placed.promise;
      await scheduler.settled();
    },
    stop: async () => {
      // The supervisor hears it, and places the shards elsewhere; their new owners come for them.
      leaving = true;
      beat();
      await isPlacedElsewhere();
      await scheduler.stop();
      clearInterval(timer);
      await placements.stop();
    },
  };
}

/**
 * Crashes are counted in Postgres, so that a message that kills its shard is known to the next owner too. One that is too new for this
 * program is no crash: it is for the next owner, who can read it.
 */
function crashes(platform: Platform, level: LevelWatch, log: Log): Crashes {
  const quarantined = new Set<string>();
  return {
    isQuarantined: (shard, seq) => quarantined.has(`${shard}/${seq}`),
    count: async (shard, seq, error) => {
      if (error instanceof TooNew && (await level.isTooNew())) return false;
      const times = await platform.postgres.countCrash(shard, seq, String(error));
      if (times < LIMITS.crashesBeforeQuarantine) return false;
      quarantined.add(`${shard}/${seq}`);
      log.error('a message is in quarantine: it crashed its shard', { shard, seq, times, error: String(error) });
      return true;
    },
  };
}

function gauges(metrics: Metrics, scheduler: SchedulerNode): void {
  const status = onceATurn(() => scheduler.status());
  metrics.gauge('belfry_shards_owned', () => status().owned.length);
  metrics.gauge('belfry_tasks', () => status().tasks);
  metrics.gauge('belfry_executions_under_way', () => status().underWay);
  metrics.gauge('belfry_backlog', () => status().backlog);
  metrics.gauge('belfry_workers', () => status().workers);
  metrics.gauge('belfry_checkpoint_waiting_rows', () => status().waitingRows);
  metrics.gauge('belfry_state_bytes', () => status().memoryBytes);
  metrics.gauge('belfry_fires_expected', () => status().ledger.expected);
  metrics.gauge('belfry_fires_waiting', () => status().ledger.waiting);
  metrics.gauge('belfry_fires_dispatched', () => status().ledger.dispatched);
  metrics.gaugeBy('belfry_fires_finished', 'end', () => {
    const { succeeded, dead, failed, cancelled } = status().ledger;
    return { succeeded, dead, failed, cancelled };
  });
  metrics.gaugeBy('belfry_fires_skipped', 'by', () => {
    const { skipped, withdrawn } = status().ledger;
    return { policy: skipped, command: withdrawn };
  });
  metrics.gauge('belfry_inbox_gap_shards', () => status().inboxGap?.shards.length ?? 0);
  metrics.gauge('belfry_missed_fires', () => status().ledger.missed);
}
