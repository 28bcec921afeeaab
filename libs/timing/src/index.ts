export { MAX_INSTANT_MS } from './civil.ts';
export { periodText, readPeriod, type PeriodReading } from './duration.ts';
export { backoffDelayMs, hash32, hash53, hashNumber, unit, type Backoff } from './hash.ts';
export type { ScheduleError, ScheduleErrorCode } from './refusal.ts';
export {
  nextFire,
  parseCanonical,
  parseSchedule,
  type Schedule,
  type ScheduleReading,
  type ScheduleSpec,
} from './schedule.ts';
export { SlotLinks, SlotList } from './slot-links.ts';
export { grownColumn, newColumn } from './columns.ts';
export { STATE_FREE, TimerTable, type TimerTableOptions } from './timer-table.ts';
export { TimingWheel, type TimingWheelOptions } from './wheel.ts';
