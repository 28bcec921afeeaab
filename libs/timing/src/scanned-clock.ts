/**
 * Wall clocks for brute-force scanners in tests: asks Intl for the wall time at each full hour, and in between only where two of them differ
 * in offset. Shares nothing with the engine's tables.
 */

const HOUR_MS = 3_600_000;

export class ScannedClock {
  readonly zone: string;
  readonly #format: Intl.DateTimeFormat;
  readonly #hours = new Map<number, number>();

  constructor(zone: string) {
    this.zone = zone;
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  }

  /** The wall time at an instant, ms as if the clock were UTC. */
  local(at: number): number {
    const hour = Math.floor(at / HOUR_MS);
    const offset = this.#offsetOfHour(hour);
    return at + (this.#offsetOfHour(hour + 1) === offset ? offset : this.#ask(at));
  }

  /** The first hour from `fromMs` to `untilMs` in which the offset changes; undefined when there is none. Looks twice a day. */
  changeIn(fromMs: number, untilMs: number): number | undefined {
    const step = 12;
    for (let hour = Math.floor(fromMs / HOUR_MS); hour * HOUR_MS < untilMs; hour += step) {
      if (this.#offsetOfHour(hour) === this.#offsetOfHour(hour + step)) continue;
      while (this.#offsetOfHour(hour) === this.#offsetOfHour(hour + 1)) hour++;
      return hour * HOUR_MS;
    }
    return undefined;
  }

  #offsetOfHour(hour: number): number {
    let offset = this.#hours.get(hour);
    if (offset === undefined) {
      offset = this.#ask(hour * HOUR_MS);
      this.#hours.set(hour, offset);
    }
    return offset;
  }

  #ask(at: number): number {
    const whole = Math.floor(at / 1_000) * 1_000;
    const [month, day, year, hour, minute, second] = (this.#format.format(whole).match(/\d+/g) ?? []).map(Number);
    return Date.UTC(year as number, (month as number) - 1, day, hour, minute, second) - whole;
  }
}

const clocks = new Map<string, ScannedClock>();

export function scannedClock(zone: string): ScannedClock {
  let clock = clocks.get(zone);
  if (clock === undefined) {
    clock = new ScannedClock(zone);
    clocks.set(zone, clock);
  }
  return clock;
}
