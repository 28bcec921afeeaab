export { Calendar } from './calendar.ts';
export { parseCanonical, sameButSlot } from './canonical.ts';
export { MAX_INSTANT_MS } from './civil.ts';
export { ComposedSchedule } from './composed-schedule.ts';
export { DisciplinedClock, type ClockStep } from './discipline.ts';
export { periodText, readDuration } from './duration.ts';
export { explainFire } from './explain-fire.ts';
export { backoffDelayMs, hash32, hash53, hashNumber, seedOf, unit, type Backoff } from './hash.ts';
export {
  MOST_CALENDAR_RULES,
  parseCalendar,
  type CalendarReading,
  type CalendarRule,
  type CalendarSpec,
} from './read-calendar.ts';
export { parseSchedule, slotsOf, withSlot, type ReadContext, type ScheduleReading } from './read-schedule.ts';
export { beforeLatestFires } from './latest-fires.ts';
export type { ScheduleError, ScheduleErrorCode } from './refusal.ts';
export { isUniform, nextFire, type Schedule } from './schedule.ts';
export type { CalendarSource, ScheduleSpec, TaskContext } from './schedule-spec.ts';
export {
  roundTripSample,
  SkewEstimator,
  SkewWatch,
  type ClockSample,
  type SkewEstimate,
  type SkewLevel,
} from './skew.ts';
export { SlotList, SlotLists } from './slot-lists.ts';
export { grownColumn, newColumn } from './columns.ts';
export { SnapshotError, type SnapshotErrorCode, type TimerSnapshot } from './snapshot.ts';
export { STATE_FREE, TimerTable, type TimerTableOptions } from './timer-table.ts';
export type { FoldRule, GapRule } from './wall-clock.ts';
export { MOVES_A_FIRE, TimingWheel, type TimingWheelOptions } from './wheel.ts';
export { Forecast, type ForecastTasks } from './forecast.ts';
export { readInstant } from './instant.ts';
export { lint, type LintCode, type LintWarning } from './lint.ts';
export { localText, nextFires, preview, zoneOf, type PreviewedFire } from './preview.ts';
export {
  differences,
  digestOf,
  intlName,
  movedFire,
  recordedZones,
  recordZone,
  zoneNames,
  type MovedFire,
  type ZoneRecord,
  type ZoneRecords,
} from './zone-record.ts';
export { findZone } from './zones.ts';
