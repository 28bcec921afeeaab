/** What a supervisor does about a crashed actor. */
export type Verdict =
  | { readonly kind: 'restart'; readonly delayMs: number }
  /** The message that crashes it is set aside; then it restarts. */
  | { readonly kind: 'quarantine'; readonly delayMs: number };

export interface SupervisionPolicy {
  readonly crashesBeforeQuarantine: number;
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  /** A crash this long after the last one begins a new series. */
  readonly calmMs: number;
}

export const DEFAULT_POLICY: SupervisionPolicy = {
  crashesBeforeQuarantine: 3,
  firstDelayMs: 100,
  maxDelayMs: 30_000,
  calmMs: 60_000,
};

/** Decides about the crashes of one actor. Pure: the time and the message's crash count are arguments. */
export class Supervision {
  readonly #policy: SupervisionPolicy;
  #series = 0;
  #lastMs = -Infinity;

  constructor(policy: SupervisionPolicy = DEFAULT_POLICY) {
    this.#policy = policy;
  }

  /** `messageCrashes`: how often the message that it crashed on has crashed it, on whatever node, this time included; 0 if none was at fault. */
  onCrash(nowMs: number, messageCrashes: number): Verdict {
    const { crashesBeforeQuarantine, firstDelayMs, maxDelayMs, calmMs } = this.#policy;
    this.#series = nowMs - this.#lastMs > calmMs ? 1 : this.#series + 1;
    this.#lastMs = nowMs;
    const delayMs = Math.min(maxDelayMs, firstDelayMs * 2 ** (this.#series - 1));
    return messageCrashes >= crashesBeforeQuarantine ? { kind: 'quarantine', delayMs } : { kind: 'restart', delayMs };
  }
}
