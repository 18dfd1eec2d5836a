/** Files and batches as OpenAI's clients know them. */
import { z } from 'zod'
import { BATCH_ENDPOINTS } from '../../peer/index.ts'
import type { Batch, BatchBook, BatchFile } from '../../peer/index.ts'

export const batchSchema = z.object({
  input_file_id: z.string().min(1).max(128),
  endpoint: z.enum(BATCH_ENDPOINTS),
  completion_window: z.literal('24h'),
  metadata: z
    .record(z.string().max(64), z.string().max(512))
    .refine((entries) => Object.keys(entries).length <= 16, { error: 'more than 16 entries' })
    .nullish(),
})

export function fileShape({ id, bytes, created, filename, purpose }: BatchFile): object {
  return { id, object: 'file', bytes, created_at: created, filename, purpose, status: 'processed' }
}

export function listShape(data: readonly object[], hasMore: boolean): object {
  const ids = data as readonly { readonly id?: string }[]
  return { object: 'list', data, first_id: ids[0]?.id ?? null, last_id: ids.at(-1)?.id ?? null, has_more: hasMore }
}

export function batchShape(book: Pick<BatchBook, 'counts' | 'results'>, batch: Batch): object {
  const { id, endpoint, input, status, problems, total, created, expires, ended, cancelling, counts, metadata } = batch
  const at = (...names: readonly Batch['status'][]): number | null => (names.includes(status) ? ended : null)
  const isOver = ended !== null
  const file = (ok: boolean): string | null => (isOver ? (book.results(batch, ok)?.file.id ?? null) : null)
  return {
    id,
    object: 'batch',
    endpoint,
    errors:
      problems.length === 0 ? null : { object: 'list', data: problems.map((problem) => ({ ...problem, param: null })) },
    input_file_id: input,
    completion_window: '24h',
    status,
    output_file_id: file(true),
    error_file_id: file(false),
    created_at: created,
    in_progress_at: status === 'failed' ? null : created,
    expires_at: expires,
    finalizing_at: at('completed'),
    completed_at: at('completed'),
    failed_at: at('failed'),
    expired_at: at('expired'),
    cancelling_at: cancelling,
    cancelled_at: at('cancelled'),
    request_counts: { total, ...(counts ?? book.counts(id)) },
    metadata,
  }
}
