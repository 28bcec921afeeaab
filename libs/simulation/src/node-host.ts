import { renderTask } from '@belfry/gateway';
import type { Placement } from '@belfry/ports';
import { LIMITS, subjects } from '@belfry/protocol';
import { NO_TRACER, SchedulerNode } from '@belfry/scheduler';
import type { NodeHeartbeat } from '@belfry/supervisor';
import type { Process } from './process.ts';
import type { Services } from './services.ts';

const START_AGAIN_MS = 1_000;

/**
 * A scheduler's process: the production node, with the shell that the program has around it: heartbeats, the placement, and its shards
 * given up when its clock is wrong.
 */
export class NodeHost {
  readonly process: Process;
  readonly scheduler: SchedulerNode;
  readonly #services: Services;
  #latest: Placement = { term: 0, version: 0, nodes: [], assignment: [] };
  #leaving = false;
  /** Looks in a row that say otherwise than `#isFit`. */
  #doubts = 0;
  #isFit = true;
  #beginsAnew = false;

  constructor(process: Process, services: Services, tickMs: number) {
    this.process = process;
    this.#services = services;
    const quarantined = new Set<string>();
    this.scheduler = new SchedulerNode(
      {
        node: process.name,
        shards: services.shards,
        inbox: services.inbox.of(process),
        work: services.work.of(process),
        store: services.store.of(process),
        messenger: services.messages.of(process),
        clock: process.clock,
        timers: process,
        tickMs,
        log: services.log(process),
        metrics: {
          dispatched: () => undefined,
          executionOver: () => undefined,
          skipped: () => undefined,
          checkpoint: () => undefined,
          takeover: () => undefined,
          quarantined: () => undefined,
        },
        tracer: NO_TRACER,
        renderTask,
      },
      {
        isQuarantined: (shard, seq) => quarantined.has(`${shard}/${seq}`),
        count: async (shard, seq) => {
          const times = await services.store.countCrash(process, shard, seq);
          if (times < LIMITS.crashesBeforeQuarantine) return false;
          quarantined.add(`${shard}/${seq}`);
          return true;
        },
      },
    );
  }

  /** Goes on trying until it has started. */
  async start(): Promise<void> {
    for (;;) {
      try {
        await this.scheduler.start();
        break;
      } catch {
        await new Promise<void>((resolve) => this.process.after(START_AGAIN_MS, resolve));
      }
    }
    this.process.every(LIMITS.nodeHeartbeatMs, () => this.#beat());
    this.process.every(LIMITS.clockRoundMs, () => this.#lookAtClock());
    this.#beat();
    await this.#watch();
  }

  /** Hands everything over, as at a deploy. */
  async stop(): Promise<void> {
    this.#leaving = true;
    this.#beat();
    await this.scheduler.stop();
  }

  async #watch(): Promise<void> {
    for (;;) {
      try {
        await this.#services.placements(this.process).watch((placement) => {
          this.#latest = placement;
          this.#follow();
        });
        return;
      } catch {
        await new Promise<void>((resolve) => this.process.after(START_AGAIN_MS, resolve));
      }
    }
  }

  #follow(): void {
    if (!this.#leaving)
      this.scheduler.place(this.#isFit ? this.#latest : { ...this.#latest, nodes: [], assignment: [] });
  }

  #beat(): void {
    const beat: NodeHeartbeat = {
      node: this.process.name,
      cores: 2,
      leaving: this.#leaving || !this.#isFit,
      owned: this.scheduler.status().owned,
    };
    this.#services.messages.of(this.process).tell(subjects.nodeHeartbeat, JSON.stringify(beat));
  }

  /** Once it owns no shards, and takes none over. */
  async #beginAnew(): Promise<void> {
    if (this.#beginsAnew) return;
    this.#beginsAnew = true;
    await this.scheduler.settle();
    this.#beginsAnew = false;
    if (!this.#isFit && this.scheduler.status().owned.length === 0) this.process.restartClock();
  }

  /** As the program judges by the clocks of others: three looks in a row. */
  #lookAtClock(): void {
    const off = Math.abs(this.process.offsetMs);
    if (!this.#isFit) void this.#beginAnew();
    const otherwise = this.#isFit ? off >= LIMITS.clockUnfitMs : off < LIMITS.clockAlertMs;
    this.#doubts = otherwise ? this.#doubts + 1 : 0;
    if (this.#doubts < LIMITS.clockConfirmations) return;
    this.#isFit = !this.#isFit;
    this.#doubts = 0;
    this.#beat();
    this.#follow();
  }
}
