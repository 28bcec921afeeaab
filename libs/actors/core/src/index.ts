export { Mailbox } from './mailbox.ts';
export { QueueLeases } from './queue-leases.ts';
export { DEFAULT_POLICY, Supervision, type SupervisionPolicy, type Verdict } from './supervision.ts';
