import { randomUUID } from 'node:crypto';

import {
  subjects,
  type CalendarDefinition,
  type CalendarListReply,
  type CalendarOp,
  type CalendarSetReply,
  type CalendarView,
} from '@belfry/protocol';

import type { Requester } from './requester.ts';

/** The calendars of a client's namespace: named sets of dates and windows that schedules refer to by `calendars`. */
export class Calendars {
  readonly #requester: Requester;
  readonly #namespace: string;

  constructor(requester: Requester, namespace: string) {
    this.#requester = requester;
    this.#namespace = namespace;
  }

  /**
   * Makes a calendar, or replaces the one of this name. When this resolves, it is on disk and all tasks that name it wait for their next
   * fires by it. Throws `invalid_field` with the path of the rule that cannot be read.
   */
  async set(name: string, calendar: CalendarDefinition): Promise<CalendarSetReply> {
    return await this.#request('set', { name, calendar, commandId: randomUUID() });
  }

  /** As of the last checkpoint (`asOf`). Throws `not_found`. */
  async get(name: string): Promise<CalendarView> {
    return await this.#request('get', { name });
  }

  /** All of them by name, as of the last checkpoint (`asOf`). */
  async list(): Promise<CalendarListReply> {
    return await this.#request('list', {});
  }

  async #request<T extends object>(op: CalendarOp, body: object): Promise<T> {
    return await this.#requester.request<T>(subjects.calendars(this.#namespace, op), body);
  }
}
