/** How long a dispatch may be on its way. */
const ON_ITS_WAY_MS = 10_000;

/** Dispatches that no checkpoint has, by `<execution>.<attempt>`: when the work stream and their node are lost, nobody knows of them. */
export class UnsavedDispatches {
  /** With their epochs, as are those of which the stream was lost. */
  readonly #unsaved = new Map<string, number>();
  readonly #forgotten = new Map<string, number>();
  /** Of those, what is over, and until when its second dispatch may come. */
  readonly #comingUntil = new Map<string, number>();
  /** Of those, what was dispatched anew: such an attempt may start once more. */
  readonly #repeatable = new Set<string>();

  made(key: string, epoch: number): void {
    this.#unsaved.set(key, epoch);
  }

  /** What was forgotten before stays so, unless it was dispatched in this epoch: another owner may have meant to dispatch it anew. */
  saved(key: string, epoch: number): void {
    this.#unsaved.delete(key);
    if (this.#forgotten.get(key) === epoch) this.#forgotten.delete(key);
  }

  over(key: string, nowMs: number): void {
    this.#unsaved.delete(key);
    if (this.#forgotten.delete(key)) this.#comingUntil.set(key, nowMs + ON_ITS_WAY_MS);
  }

  streamLost(): void {
    for (const [key, epoch] of this.#unsaved) this.#forgotten.set(key, epoch);
  }

  /** Whether nobody need know of it any more. It is so once. */
  isForgotten(key: string, nowMs: number): boolean {
    const untilMs = this.#comingUntil.get(key) ?? -Infinity;
    this.#comingUntil.delete(key);
    return this.#forgotten.delete(key) || nowMs <= untilMs;
  }

  repeat(key: string): void {
    this.#repeatable.add(key);
  }

  /** Whether it was forgotten and made again. It is so once. */
  isRepeated(key: string): boolean {
    return this.#repeatable.delete(key);
  }
}
