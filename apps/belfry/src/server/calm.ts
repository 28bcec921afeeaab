import type { Timers } from '@belfry/actor-runtime';

const LOOK_MS = 10;
/** A timer that comes so much later found the event loop busy. */
const LATE_MS = 10;
const CALM_MS = 300;

/**
 * Resolves when timers have come on time for `CALM_MS`, as they do not in a process that has just started and is still compiling its
 * code; or when `goesOn` says no more.
 */
export async function calm(
  timers: Pick<Timers, 'after'>,
  clock: { monotonic(): number },
  goesOn: () => boolean,
): Promise<void> {
  let nowMs = clock.monotonic();
  for (let calmSince = nowMs; nowMs - calmSince < CALM_MS && goesOn();) {
    await new Promise<void>((resolve) => void timers.after(LOOK_MS, resolve));
    const wokenAt = clock.monotonic();
    if (wokenAt - nowMs > LOOK_MS + LATE_MS) calmSince = wokenAt;
    nowMs = wokenAt;
  }
}
