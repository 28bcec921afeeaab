import { parseSchedule, type Schedule } from '@belfry/timing';

import type { Cli } from './cli.ts';
import { refused, usageError } from './exit.ts';
import { scheduleFields, type TaskFlags } from './task-flags.ts';

/** The schedule that flags state, read on this machine. */
export function readSchedule(cli: Cli, flags: TaskFlags): Schedule {
  const fields = scheduleFields(flags, { now: cli.now(), utc: cli.clock.utc });
  if (fields.at === undefined && fields.every === undefined && fields.cron === undefined)
    throw usageError('one of --at, --in, --every and --cron is required', 'Try --help.');
  const reading = parseSchedule(fields, { nowMs: cli.now() });
  if (reading.ok) return reading.schedule;
  throw refused(reading.error);
}
