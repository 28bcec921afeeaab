export type ScheduleErrorCode =
  | 'invalid_schedule'
  | 'invalid_at'
  | 'invalid_every'
  | 'invalid_anchor'
  | 'invalid_cron'
  | 'invalid_timezone'
  | 'cron_never_fires';

export interface ScheduleError {
  readonly code: ScheduleErrorCode;
  /** The field that is at fault, such as `cron` or `calendars[0]`. */
  readonly path: string;
  /** For people: what is wrong, and what was probably meant. */
  readonly message: string;
  /** Where in the field's text, from 0. */
  readonly position?: number;
}

/** Thrown by the parsers of this library, and caught by `parseSchedule`. */
export class Refusal extends Error {
  readonly error: ScheduleError;

  constructor(code: ScheduleErrorCode, path: string, message: string, position?: number) {
    super(message);
    this.error = { code, path, message, ...(position === undefined ? {} : { position }) };
  }
}
