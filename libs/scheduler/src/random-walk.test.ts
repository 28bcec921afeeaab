import { retry } from '@belfry/ports';
import type { PulledWork } from '@belfry/ports/testing';
import { LIMITS } from '@belfry/protocol';
import { afterEach, expect, it, vi } from 'vitest';
import { fire, LOST_CONTACT_MS, SHARDS, testCluster, type TestCluster, type TestNode } from './test-cluster.ts';

const SEEDS = 12;
const STEPS = 40;

afterEach(() => vi.useRealTimers());

/** Nodes come, go and die, and the work stream is lost, while one living worker runs what it is given. */
class Walk {
  readonly #cluster: TestCluster;
  readonly #random: () => number;
  readonly expected = new Set<string>();
  /** How often each execution was started. */
  readonly starts = new Map<string, number>();
  readonly steps: string[] = [];
  #nodes: TestNode[] = [];
  #held: PulledWork[] = [];
  #names = 0;

  constructor(cluster: TestCluster, seed: number) {
    this.#cluster = cluster;
    this.#random = seeded(seed);
  }

  async start(): Promise<void> {
    this.#nodes = [await this.#cluster.start('n0'), await this.#cluster.start('n1')];
    await this.#place();
    await this.#cluster.worker('w', 8, [], ['mail'], { parcel: 1 + this.#below(3) });
    this.#loseAnswers();
  }

  /** One of five answers of Postgres and of the work stream is lost: it was done, or was not. */
  #loseAnswers(): void {
    const { work, store } = this.#cluster;
    const { publish } = work;
    const { commit } = store;
    vi.spyOn(work, 'publish').mockImplementation(async (...args) => {
      const fate = this.#below(10);
      if (fate === 0) return retry('it did not arrive');
      const outcome = await publish.apply(work, args);
      return fate === 1 ? retry('no answer') : outcome;
    });
    vi.spyOn(store, 'commit').mockImplementation(async (...args) => {
      const fate = this.#below(10);
      if (fate === 0) return retry('it did not arrive');
      const outcome = await commit.apply(store, args);
      return fate === 1 ? retry('no answer') : outcome;
    });
  }

  async step(): Promise<void> {
    const actions = [
      this.create,
      this.create,
      this.work,
      this.work,
      this.pass,
      this.pass,
      this.move,
      this.kill,
      this.cutOff,
      this.lose,
    ];
    const action = actions[this.#below(actions.length)] as () => Promise<void>;
    this.steps.push(action.name);
    await action.call(this);
  }

  async create(): Promise<void> {
    const shard = this.#below(SHARDS);
    const names = Array.from({ length: 1 + this.#below(6) }, () => `t${this.#names++}`);
    const dueMs = this.#cluster.elapsedMs + this.#below(4_000);
    await this.#cluster.append(shard, ...names.map((name) => this.#cluster.createRecord(shard, name, dueMs)));
    for (const name of names) this.expected.add(fire(shard, name, dueMs));
    await this.#cluster.settle();
  }

  /** The worker takes some, and finishes some of what it holds. */
  async work(): Promise<void> {
    await this.#cluster.work.ensureConsumer('acme', 'mail', LIMITS.workLeaseMs); // as a worker does that cannot pull
    for (const work of this.#cluster.pull(this.#below(6))) {
      for (const { execution } of work.ref.attempts) this.starts.set(execution, (this.starts.get(execution) ?? 0) + 1);
      this.#held.push(work);
    }
    const going = this.#held.filter(() => this.#below(2) === 0);
    for (const work of this.#held.filter((one) => !going.includes(one))) {
      const { shard, attempts } = work.ref;
      const done = { k: 'result', c: 0, ns: 'acme', o: 'succeeded', w: 'w', dl: 0, st: 0, fi: 0 } as const;
      for (const { execution: x, attempt: a } of attempts) await this.#cluster.append(shard, { ...done, x, a });
      await work.ack();
    }
    this.#held = going;
    this.#cluster.running(
      'w',
      going.flatMap(({ ref }) => ref.attempts.map(({ execution }) => execution)),
    );
    await this.#cluster.settle();
  }

  async pass(): Promise<void> {
    await this.#cluster.pass(this.#below(1_500));
    if (this.#below(2) === 0) await this.#cluster.seconds(1);
  }

  /** Shards are handed over. */
  async move(): Promise<void> {
    await this.#place();
  }

  async kill(): Promise<void> {
    this.#nodes.splice(this.#below(this.#nodes.length), 1)[0]?.kill();
    this.#nodes.push(await this.#cluster.start(`node-${this.#names++}`));
    await this.#place();
  }

  /** A node is cut off: others take its shards over while it goes on. */
  async cutOff(): Promise<void> {
    const [former] = this.#nodes.splice(this.#below(this.#nodes.length), 1);
    former?.deafen();
    this.#nodes.push(await this.#cluster.start(`node-${this.#names++}`));
    await this.#place();
    // It would take back what it had until it is told better: it ends here.
    former?.kill();
  }

  async lose(): Promise<void> {
    const before = this.#cluster.lines.length;
    this.#cluster.work.lose();
    const told = (name: string): boolean =>
      this.#cluster.lines.slice(before).some((line) => line.startsWith(`${name} warn: the work stream was lost`));
    await this.#cluster.until(() => this.#nodes.every(({ name }) => told(name)), 'all notice the loss');
    await this.#cluster.seconds(2); // for their last checkpoints
    await this.#cluster.until(() => this.#owned() === SHARDS, 'all shards are taken over again');
  }

  /** Until all is over that was ever created. */
  async finish(): Promise<void> {
    for (let round = 0; round < 3 * (LOST_CONTACT_MS / 1_000); round++) {
      if (this.#cluster.history().length >= this.expected.size && this.#held.length === 0) return;
      await this.work();
      await this.#cluster.seconds(1);
    }
  }

  #owned(): number {
    return this.#nodes.reduce((sum, { owned }) => sum + owned.length, 0);
  }

  #place(): Promise<void> {
    return this.#cluster.place(
      Array.from({ length: SHARDS }, () => this.#nodes[this.#below(this.#nodes.length)] as TestNode),
    );
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

it.each(Array.from({ length: SEEDS }, (_, at) => at + 1))(
  'every fire runs once, whatever happens to nodes and work stream (seed %i)',
  async (seed) => {
    const cluster = testCluster();
    const walk = new Walk(cluster, seed);
    await walk.start();
    for (let step = 0; step < STEPS; step++) await walk.step();
    await walk.finish();
    const over = cluster.history().map((line) => line.split(' '));
    const said = `seed ${seed}: ${walk.steps.join(' ')}\n${cluster.lines.join('\n')}`;
    expect(over.map(([execution]) => execution).toSorted(), said).toEqual([...walk.expected].toSorted());
    expect(new Set(over.map(([, state]) => state)), said).toEqual(new Set(['succeeded']));
    expect(
      [...walk.starts].filter(([, times]) => times !== 1),
      said,
    ).toEqual([]);
    expect(
      cluster.lines.filter((line) => /is missing|does not balance/.test(line)),
      said,
    ).toEqual([]);
  },
);

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
