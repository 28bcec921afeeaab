import { levelOf, type PlacementStore } from '@belfry/ports';
import { LevelTooOld, LEVELS } from '@belfry/protocol';
import type { Log } from '@belfry/scheduler';

export interface LevelWatchOptions {
  readonly placements: Pick<PlacementStore, 'watch'>;
  /** The highest level at which the installation may have been written. */
  readonly installationLevel: () => Promise<number>;
  /** The highest level that this process reads. */
  readonly reads: number;
  readonly log: Log;
}

/**
 * At which level this process writes, and whether it is too old for its cluster: then it takes nothing more, and ends.
 *
 * L1. It writes at no level that it has not read in a placement: others could not read it yet.
 * L2. Whether something is too new for this process, or is nothing at all, is told by the installation alone: what is written at a level
 *     stands there first.
 */
export class LevelWatch {
  readonly reads: number;
  /** Resolves when this process does not read what is written by now; else never. */
  readonly outdated: Promise<LevelTooOld>;
  readonly #options: LevelWatchOptions;
  #writes: number = LEVELS.oldest;
  #tell: (error: LevelTooOld) => void;
  #isOutdated = false;

  constructor(options: LevelWatchOptions) {
    this.#options = options;
    this.reads = options.reads;
    const { promise, resolve } = Promise.withResolvers<LevelTooOld>();
    this.outdated = promise;
    this.#tell = resolve;
  }

  /** @throws LevelTooOld */
  async start(): Promise<{ stop(): Promise<void> }> {
    const { installationLevel, placements } = this.#options;
    const level = await installationLevel();
    if (level > this.reads) throw new LevelTooOld(level, this.reads);
    return await placements.watch((placement) => this.reached(levelOf(placement)));
  }

  get writes(): number {
    return this.#writes;
  }

  get isOutdated(): boolean {
    return this.#isOutdated;
  }

  /** The cluster writes at this level. False when this process does not read it. */
  reached(level: number): boolean {
    if (level <= this.reads) {
      this.#writes = Math.max(this.#writes, level); // L1
      return true;
    }
    if (!this.#isOutdated) {
      this.#isOutdated = true;
      this.#options.log.error('the cluster writes what this program does not read: it takes nothing more, and ends', {
        level,
        reads: this.reads,
      });
      this.#tell(new LevelTooOld(level, this.reads));
    }
    return false;
  }

  /** Whether what could not be read may have been written by a newer program (L2). Rejects when that cannot be known. */
  async isTooNew(): Promise<boolean> {
    return !this.reached(await this.#options.installationLevel());
  }
}
