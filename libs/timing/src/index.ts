export { backoffDelayMs, hash32, hash53, hashNumber, unit, type Backoff } from './hash.ts';
export { SlotLinks, SlotList } from './slot-links.ts';
export { TimingWheel, type TimingWheelOptions } from './wheel.ts';
