import type { Log } from '@belfry/scheduler';
import { styleText } from 'node:util';

export type LogFormat = 'json' | 'text';

/** Structured log lines on stderr: JSON for machines, or short text for a terminal. */
export function createLog(format: LogFormat, base: Record<string, unknown> = {}): Log {
  const write = (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown> = {}): void => {
    const at = new Date();
    if (format === 'json') {
      process.stderr.write(`${JSON.stringify({ time: at.toISOString(), level, message, ...base, ...fields })}\n`);
      return;
    }
    const rest = Object.entries(fields).map(
      ([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
    );
    const line = `${at.toISOString().slice(11, 23)} ${level.padEnd(5)} ${message}${rest.join('')}`;
    const colour = level === 'error' ? 'red' : level === 'warn' ? 'yellow' : 'dim';
    process.stderr.write(`${styleText(colour, line, { stream: process.stderr })}\n`);
  };
  return {
    info: (message, fields) => write('info', message, fields),
    warn: (message, fields) => write('warn', message, fields),
    error: (message, fields) => write('error', message, fields),
  };
}
