/** Batches: their input, how far they are, and what came of each line. */
import { join } from 'node:path'
import { BatchStore } from '../../../src/peer/batches/batch-store.ts'
import type { Batch } from '../../../src/peer/batches/types.ts'
import { systemClock } from '../../../src/util/index.ts'
import type { Kind, Step } from '../kind.ts'

const CREATED = Math.floor(Date.now() / 1000)
const OWNER = 'socket'
const INPUT = { id: 'file-1', filename: 'in.jsonl', purpose: 'batch', bytes: 3, created: CREATED } as const
const BATCH: Batch = {
  id: 'batch_1',
  owner: OWNER,
  endpoint: '/v1/completions',
  input: INPUT.id,
  status: 'in_progress',
  problems: [],
  total: 2,
  created: CREATED,
  expires: CREATED + 86_400,
  ended: null,
  cancelling: null,
  counts: null,
  metadata: null,
}

function shownBatches(store: BatchStore): unknown {
  const batch = store.batch(OWNER, BATCH.id)
  return {
    input: Buffer.from(store.content(OWNER, INPUT.id) ?? []).toString(),
    status: batch?.status ?? 'none',
    lines: batch === undefined ? [] : [...store.done(batch.id)],
  }
}

const batches: Kind = {
  name: 'batches',
  isText: true,
  open(home) {
    const store = new BatchStore(systemClock(), join(home, 'batches.db'))
    const result = (line: number): Step => ({
      name: `result ${line}`,
      run: () => store.addResult(BATCH.id, { line, ok: true, text: '{}' }),
    })
    return {
      steps: [
        {
          name: 'input',
          run: () =>
            store.file(OWNER, INPUT.id) === undefined ? store.addFile(OWNER, INPUT, Buffer.from('a\nb')) : undefined,
        },
        { name: 'begin', run: () => (store.batch(OWNER, BATCH.id) === undefined ? store.add(BATCH) : undefined) },
        result(0),
        result(1),
        {
          name: 'end',
          run: () =>
            store.change(BATCH.id, { status: 'completed', ended: CREATED, counts: { completed: 2, failed: 0 } }),
        },
      ],
      state: () => shownBatches(store),
      close: () => store.close(),
    }
  },
}

export const KINDS: readonly Kind[] = [batches]
