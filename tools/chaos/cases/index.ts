import type { ChaosCase } from '../scene.ts';
import { KILLS } from './kills.ts';

/** All cases, in the order in which they run: those of one kind of cluster together. */
export const CASES: readonly ChaosCase[] = [...KILLS];
