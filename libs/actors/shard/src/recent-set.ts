const HOUR_MS = 3_600_000;

/** A set of 53-bit hashes, each remembered for a stated time, forgotten an hour's generation at a time. */
export class RecentSet {
  readonly #generations = new Map<number, HashSet>();

  add(hash: number, atMs: number): void {
    const hour = Math.floor(atMs / HOUR_MS);
    let generation = this.#generations.get(hour);
    if (generation === undefined) {
      generation = new HashSet();
      this.#generations.set(hour, generation);
    }
    generation.add(hash);
  }

  has(hash: number): boolean {
    for (const generation of this.#generations.values()) if (generation.has(hash)) return true;
    return false;
  }

  /** Forgets generations that ended before `beforeMs`. */
  forget(beforeMs: number): void {
    for (const hour of this.#generations.keys()) if ((hour + 1) * HOUR_MS <= beforeMs) this.#generations.delete(hour);
  }

  get size(): number {
    let size = 0;
    for (const generation of this.#generations.values()) size += generation.size;
    return size;
  }
}

/** Open addressing over doubles: 8 bytes a place, at most 3/4 full. 0 marks an empty place, so it is kept as 1. */
class HashSet {
  size = 0;
  #places = new Float64Array(16);

  add(hash: number): void {
    if ((this.size + 1) * 4 > this.#places.length * 3) {
      const old = this.#places;
      this.#places = new Float64Array(old.length * 2);
      for (const value of old) if (value !== 0) this.#places[this.#seek(value)] = value;
    }
    const value = hash || 1;
    const at = this.#seek(value);
    if (this.#places[at] !== 0) return;
    this.#places[at] = value;
    this.size++;
  }

  has(hash: number): boolean {
    return this.#places[this.#seek(hash || 1)] !== 0;
  }

  #seek(value: number): number {
    const mask = this.#places.length - 1;
    let at = (value % 2_147_483_647) & mask;
    while (this.#places[at] !== 0 && this.#places[at] !== value) at = (at + 1) & mask;
    return at;
  }
}
