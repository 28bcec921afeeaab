/**
 * A bounded cache of texts. Two generations instead of a list: a hit in the old one moves the entry to the new one, and when
 * the new one is half of the capacity the old one is dropped. So what was used lately stays, and a hit costs one look-up.
 *
 * G1. At most `capacity` entries.
 */
export class GenerationalCache<V> {
  readonly #half: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();

  constructor(capacity: number) {
    this.#half = Math.max(1, Math.floor(capacity / 2));
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get(key: string): V | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old === undefined) return undefined;
    this.#old.delete(key);
    this.set(key, old);
    return old;
  }

  set(key: string, value: V): void {
    if (this.#young.size >= this.#half) {
      this.#old = this.#young; // G1
      this.#young = new Map();
    }
    this.#young.set(key, value);
  }
}
