import { createTestDatabase } from '@belfry/adapter-embedded/testing';
import type { HistoryRow } from '@belfry/ports';
import { checkpointStoreConformance } from '@belfry/ports/testing';

import { PostgresLink } from './link.ts';

checkpointStoreConformance('Postgres', async () => {
  const database = await createTestDatabase(process.env['BELFRY_TEST_POSTGRES_URL'] as string);
  const link = new PostgresLink(database.url);
  const another = new PostgresLink(database.url);
  await link.migrate();
  await link.ensureInstallation(8);
  const history = async (task: string): Promise<readonly HistoryRow[]> => {
    const rows: HistoryRow[] = [];
    for (const namespace of ['acme', 'zeta']) {
      const { items } = await link.queries.executions(namespace, { task, limit: 100 });
      for (const item of items) if (item.kind === 'over') rows.push(item.row);
    }
    return rows;
  };
  const dispose = async (): Promise<void> => {
    await Promise.all([link.close(), another.close()]);
    await database.drop();
  };
  return { store: link.checkpoints, other: another.checkpoints, history, dispose };
});
