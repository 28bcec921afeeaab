import { setTimeout as delay } from 'node:timers/promises';

import { contradictions } from './answers.ts';
import { account, expectedOf, historyProblems, type Account, type Evidence } from './check.ts';
import { describeMachine, machineText, type Machine } from '../bench/machine.ts';
import { Cluster, SHARDS, type Ground } from './cluster.ts';
import { epochProblems } from './epochs.ts';
import { Load, type LoadPlan } from './load.ts';
import { randomOf } from './random.ts';
import { recoveryProblems } from './recovery.ts';
import type { CaseLoad, ChaosCase, Scene, Settings } from './scene.ts';
import { MemoryWatch, missedFires } from './watch.ts';

const USUAL_GROUND: Ground = {
  natsNodes: 1,
  smallDisks: false,
  standBy: false,
  proxies: false,
  schedulers: 2,
  gateways: 2,
  workers: 2,
  slots: 200,
};
const USUAL_LOAD = { tasks: 200, windowMs: 12_000, trickle: 5, work: () => ({ ms: 20 }), more: {} };
const QUICK = { tasks: 100, windowMs: 5_000 };
/** From the first create to the first fire. */
const LEAD_MS = 3_000;
const LONGEST_LEAD_MS = 60_000;
const AFTER_MS = 2_000;
const PATIENCE_MS = 90_000;
/** From the last run to its row in the history. */
const STORED_MS = 30_000;
/** More for many. */
const STORED_MS_A_FIRE = 0.2;
/** From then on a list has everything: an idle shard says so every 30 s. */
const LISTED_MS = 35_000;

/**
 * To tell the state of more tasks, an owner would stand still for so long that its shards were given to another; and one that ran so many
 * goes on to forget them for as long as they are remembered.
 */
const MOST_COMPARED = 300_000;

/** One run of a case. */
export interface RunResult {
  readonly case: string;
  readonly seed: number;
  readonly account: Account;
  /** Requests that were acknowledged, and how long the slowest waited; those without an answer. */
  readonly requests: { readonly acknowledged: number; readonly slowestMs: number; readonly unanswered: number };
  readonly measured: { readonly [what: string]: number };
  readonly notes: readonly string[];
  /** The most resident memory of one program of Belfry, in bytes. */
  readonly memory: number;
  /** Empty: as it should be. */
  readonly problems: readonly string[];
}

/** Runs cases one after the other, on the same cluster as long as they want the same one. */
export class Runner implements AsyncDisposable {
  readonly #settings: Settings;
  readonly #say: (line: string) => void;
  /** Where the figures come from, once a cluster was up. */
  machine: Machine | undefined;
  #cluster: Cluster | undefined;
  #loads = 0;
  /** The case and the cluster of the last comparison with what is recovered: repetitions of a case, perhaps with a million tasks, have one. */
  #compared = '';

  constructor(settings: Settings, say: (line: string) => void) {
    this.#settings = settings;
    this.#say = say;
  }

  /** Never rejects because of what the case did: that is in the result. */
  async run(one: ChaosCase, seed: number): Promise<RunResult> {
    const problems: string[] = [];
    const notes: string[] = [];
    const measured: Record<string, number> = {};
    const random = randomOf(seed);
    const cluster = await this.#clusterFor({ ...USUAL_GROUND, ...one.ground });
    const loadOf: CaseLoad = typeof one.load === 'function' ? one.load(this.#settings) : (one.load ?? {});
    const { windowMs, ...rest } = { ...USUAL_LOAD, ...loadOf, ...(this.#settings.quick && QUICK) };
    const about = {
      cluster,
      random,
      settings: this.#settings,
      note: (text: string) => void notes.push(text),
      measured: (what: string, ms: number) => void (measured[what] = Math.max(measured[what] ?? 0, ms)),
      blame: (what: string) => void problems.push(what),
    };
    const memory = new MemoryWatch(cluster);
    try {
      await one.prepare?.(about);
    } catch (error) {
      memory.stop();
      await this.#drop();
      throw error;
    }
    const load = await this.#created(cluster, windowMs, rest, random);
    const scene: Scene = { ...about, load };
    try {
      load.begin();
      await delay(
        Math.max(
          0,
          load.plan.startMs + (this.#settings.quick ? 0 : (one.afterMs ?? AFTER_MS)) + random() * 1_000 - Date.now(),
        ),
      );
      await one.inject(scene);
      await delay(Math.max(0, load.plan.endMs - Date.now()));
      await load.finish();
      const evidence = await this.#untilOver(scene, one.patienceMs ?? PATIENCE_MS);
      await cluster.heal();
      if (cluster.filled + load.fires.length > MOST_COMPARED)
        notes.push('with so many tasks, what is recovered is not compared with what is live');
      else if (this.#compared !== `${one.name} ${cluster.folder}`) {
        problems.push(...(await recoveryProblems(cluster, load)));
        this.#compared = `${one.name} ${cluster.folder}`;
        await this.#untilOver(scene, PATIENCE_MS);
      }
      problems.push(...(await this.#untilStored(scene)));
      problems.push(...(await load.endProblems()), ...(await this.#untilListed(scene)));
      problems.push(...requestProblems(load));
      problems.push(...(await missedFires(cluster)), ...memory.problems(cluster.filled + load.fires.length));
      await one.verify?.(scene);
      return this.#result(one, seed, scene, evidence(), { problems, notes, measured, memory: memory.peak });
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
      await this.#drop(); // in whatever state it is
      return this.#result(one, seed, scene, evidenceOf(cluster, load), {
        problems,
        notes,
        measured,
        memory: memory.peak,
      });
    } finally {
      memory.stop();
      await load.close();
      if (one.spoils === true || problems.length > 0) await this.#drop();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#drop();
  }

  /** The load, with its tasks made before the first is due: on a busy machine that may take more than one try. */
  async #created(
    cluster: Cluster,
    windowMs: number,
    rest: Pick<LoadPlan, 'tasks' | 'trickle' | 'work'> & Pick<LoadPlan, 'more'>,
    random: () => number,
  ): Promise<Load> {
    for (let leadMs = LEAD_MS + rest.tasks / 5; ; leadMs *= 2) {
      const startMs = Date.now() + leadMs;
      const name = `${process.pid}-${++this.#loads}`;
      const load = new Load(cluster.natsUrl, { ...rest, name, startMs, endMs: startMs + windowMs, random });
      if (await load.create()) return load;
      await load.close();
      if (leadMs > LONGEST_LEAD_MS) throw new Error('the load cannot be created in time');
    }
  }

  #result(
    one: ChaosCase,
    seed: number,
    { load }: Scene,
    evidence: Evidence,
    rest: Pick<RunResult, 'problems' | 'notes' | 'measured' | 'memory'>,
  ): RunResult {
    const { acknowledged, slowestMs, unanswered } = load;
    return {
      case: one.name,
      seed,
      account: account(evidence),
      requests: { acknowledged, slowestMs: Math.round(slowestMs), unanswered },
      ...rest,
    };
  }

  /** Waits until every fire has run to its end, or the patience has; returns how to read what there is at any time. */
  async #untilOver({ cluster, load }: Scene, patienceMs: number): Promise<() => Evidence> {
    const deadline = performance.now() + patienceMs;
    const read = (): Evidence => evidenceOf(cluster, load);
    while (performance.now() < deadline && account(read()).findings.some(({ kind }) => kind === 'lost'))
      await delay(500);
    return read;
  }

  /** Waits until the history has an end of every fire, one each, and all epochs are right; what is wrong with them otherwise. */
  async #untilStored({ cluster, load }: Scene): Promise<string[]> {
    const deadline = performance.now() + STORED_MS + load.fires.length * STORED_MS_A_FIRE;
    for (;;) {
      const evidence = evidenceOf(cluster, load);
      const expected = expectedOf(evidence);
      const fires = [...expected.owed, ...expected.open];
      const firstMs = fires.reduce((first, { scheduledAt }) => Math.min(first, scheduledAt), Infinity);
      const ends = await cluster.historySince(firstMs);
      const problems = [
        ...historyProblems(expected, load.doomed, ends),
        ...epochProblems(SHARDS, await cluster.ownership(), ends, evidence.runs),
      ];
      if (problems.length === 0 || performance.now() > deadline) return problems;
      await delay(500);
    }
  }

  /** Waits until the list of tasks, and that of what was refused, are as they should be; what is wrong with them otherwise. */
  async #untilListed({ load }: Scene): Promise<string[]> {
    const deadline = performance.now() + LISTED_MS;
    for (;;) {
      const problems = await load.listProblems();
      if (problems.length === 0 || performance.now() > deadline) return problems;
      await delay(500);
    }
  }

  async #clusterFor(ground: Ground): Promise<Cluster> {
    const present = this.#cluster;
    if (present !== undefined && JSON.stringify(present.ground) === JSON.stringify(ground)) return present;
    await this.#drop();
    const startedAt = performance.now();
    this.#cluster = await Cluster.start(ground);
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
    if (this.machine === undefined) {
      this.machine = await describeMachine(this.#cluster);
      this.#say(machineText(this.machine));
    }
    this.#say(`a cluster is up after ${seconds} s: ${describeGround(ground)}`);
    return this.#cluster;
  }

  async #drop(): Promise<void> {
    const cluster = this.#cluster;
    this.#cluster = undefined;
    await cluster?.[Symbol.asyncDispose]();
  }
}

function evidenceOf(cluster: Cluster, load: Load): Evidence {
  return { ...load.books, runs: cluster.runs(), absences: cluster.absences };
}

/** What was wrong with answers, and whether there were any. */
function requestProblems({ plan, requests, trickle }: Load): string[] {
  return [
    ...contradictions(trickle.tasks, trickle.told),
    ...trickle.wrongLists,
    ...requests.untyped.map((error) => `a request ended with an error of no known type: ${error}`),
    ...(plan.trickle > 0 ? trickle.missing : []).map((what) => `${what} was never answered`),
  ];
}

function describeGround({ natsNodes, smallDisks, standBy, proxies, schedulers, gateways, workers }: Ground): string {
  const nats = natsNodes === 1 ? 'one NATS' : `${natsNodes} NATS nodes`;
  const postgres = standBy ? 'Postgres with a stand-by' : 'one Postgres';
  return `${nats}, ${postgres}, ${schedulers} schedulers, ${gateways} gateways, ${workers} workers${proxies ? ', proxies' : ''}${smallDisks ? ', small disks' : ''}`;
}
