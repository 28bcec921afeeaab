import { fileURLToPath } from 'node:url';

import { expect, it } from 'vitest';

import { telemetryPage } from './telemetry-page.ts';

const PAGE = fileURLToPath(new URL('../../../../docs/telemetry.md', import.meta.url));

it('docs/telemetry.md says what the code does', async () => {
  await expect(telemetryPage()).toMatchFileSnapshot(PAGE);
});
