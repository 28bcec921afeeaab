/** A structured logger; pino's and winston's loggers need a line of glue. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export interface LogFields {
  readonly [name: string]: unknown;
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
type Level = (typeof LEVELS)[number];

/** JSON lines: `{"time", "level", "message", …fields}`; errors among the fields as their stack. Default: info and up, to stderr. */
export function jsonLog(
  level: Level = 'info',
  write: (line: string) => void = (line) => void process.stderr.write(line),
): Log {
  const from = LEVELS.indexOf(level);
  const at = (own: Level) => (message: string, fields?: LogFields) => {
    if (LEVELS.indexOf(own) < from) return;
    write(`${safeJson({ time: new Date().toISOString(), level: own, message, ...fields })}\n`);
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** Adds fields to every line. */
export function withFields(log: Log, fixed: LogFields): Log {
  const at = (level: Level) => (message: string, fields?: LogFields) => log[level](message, { ...fixed, ...fields });
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** A log line must not end the program: what JSON can't hold is told as text. */
function safeJson(line: LogFields): string {
  try {
    return JSON.stringify(line, (_name, value: unknown) => {
      if (value instanceof Error) return value.stack ?? value.message;
      return typeof value === 'bigint' ? value.toString() : value;
    });
  } catch (error) {
    const { time, level, message } = line;
    return JSON.stringify({ time, level, message, unloggable: String(error) });
  }
}
