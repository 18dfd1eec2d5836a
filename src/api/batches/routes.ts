/** `/v1/files` and `/v1/batches`: requests that nobody waits for. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Batch, BatchBook } from '../../peer/index.ts'
import { check } from '../check.ts'
import { InvalidParameterError, NoSuchRouteError } from '../request-errors.ts'
import { keyIdOf } from '../request-key.ts'
import { ownerOf } from '../resume/asked.ts'
import type { Entrance } from '../resume/asked.ts'
import type { ServerParts } from '../server-parts.ts'
import { BatchOverError, NoSuchBatchError, NoSuchFileError } from './errors.ts'
import { readForm } from './form.ts'
import { parseLines } from './lines.ts'
import { batchSchema, batchShape, fileShape, listShape } from './shapes.ts'

/** As OpenAI has it. */
const WINDOW_S = 86_400
const PAGE = 20
const MAX_PAGE = 100
const SCOPE = { scope: 'generate' } as const

interface Route {
  readonly parts: ServerParts
  readonly entrance: Entrance
}

export function addBatchRoutes(app: FastifyInstance, parts: ServerParts, entrance: Entrance): void {
  if (parts.needs.batches === undefined) return
  const route = { parts, entrance }
  addFiles(app, route, parts.needs.batches)
  addBatches(app, route, parts.needs.batches)
}

function addFiles(app: FastifyInstance, route: Route, book: BatchBook): void {
  const { limits, openAi } = route.parts
  const owner = (request: FastifyRequest): string => ownerOf(request.raw, route.entrance)
  void app.register(async (forms) => {
    forms.addContentTypeParser('multipart/form-data', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
    forms.post('/v1/files', { config: SCOPE, bodyLimit: limits.batchBytes }, async (request) => {
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
      const { filename, purpose, content } = await readForm(body, request.headers['content-type'] ?? '')
      if (purpose !== 'batch') throw new InvalidParameterError('purpose', 'only "batch" is kept here')
      const id = `file-${openAi.id()}`
      const file = { id, filename, purpose, bytes: content.length, created: openAi.created() } as const
      book.addFile(owner(request), file, content)
      return fileShape(file)
    })
  })
  app.get('/v1/files', { config: SCOPE }, (request) => listShape(book.files(owner(request)).map(fileShape), false))
  app.get('/v1/files/:id', { config: SCOPE }, (request) => {
    const found = book.file(owner(request), idOf(request))
    if (found === undefined) throw new NoSuchFileError(idOf(request))
    return fileShape(found)
  })
  app.get('/v1/files/:id/content', { config: SCOPE }, (request, reply) => {
    const content = book.content(owner(request), idOf(request))
    if (content === undefined) throw new NoSuchFileError(idOf(request))
    return reply.type('application/jsonl').send(Buffer.from(content))
  })
  app.delete('/v1/files/:id', { config: SCOPE }, (request) => {
    const id = idOf(request)
    if (book.batches(owner(request)).some(({ input, ended }) => input === id && ended === null))
      throw new BatchOverError('a batch that has not ended needs this file: cancel it first')
    if (!book.removeFile(owner(request), id)) throw new NoSuchFileError(id)
    return { id, object: 'file', deleted: true }
  })
}

function addBatches(app: FastifyInstance, route: Route, book: BatchBook): void {
  const { batches } = route.parts
  const owner = (request: FastifyRequest): string => ownerOf(request.raw, route.entrance)
  const find = (request: FastifyRequest): Batch => {
    const found = book.batch(owner(request), idOf(request))
    if (found === undefined) throw new NoSuchBatchError(idOf(request))
    return found
  }
  app.post('/v1/batches', { config: SCOPE }, async (request) => {
    const batch = await batchOf(route.parts, book, { owner: owner(request), key: keyIdOf(request) }, request.body)
    // deleted while it was read
    if (book.file(batch.owner, batch.input) === undefined) throw new NoSuchFileError(batch.input)
    book.add(batch)
    if (batch.ended === null) batches?.begin(batch)
    return batchShape(book, batch)
  })
  app.get('/v1/batches', { config: SCOPE }, (request) => {
    const { limit, after } = pageOf(request.query)
    const all = book.batches(owner(request))
    const from = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1
    const shown = all.slice(from, from + limit).map((batch) => batchShape(book, batch))
    return listShape(shown, from + limit < all.length)
  })
  app.get('/v1/batches/:id', { config: SCOPE }, (request) => batchShape(book, find(request)))
  app.post('/v1/batches/:id/cancel', { config: SCOPE }, async (request) => {
    const batch = find(request)
    if (batch.ended !== null) throw new BatchOverError(`the batch is ${batch.status}`)
    await batches?.cancel(batch)
    return batchShape(book, find(request))
  })
}

/** One whose file is not in order has failed, and says why. @throws InvalidParameterError, NoSuchFileError */
async function batchOf(
  { limits, openAi }: ServerParts,
  book: BatchBook,
  { owner, key }: Pick<Batch, 'owner' | 'key'>,
  body: unknown,
): Promise<Batch> {
  const { input_file_id: input, endpoint, metadata } = check(batchSchema, body)
  const content = book.content(owner, input)
  if (content === undefined) throw new NoSuchFileError(input)
  const { lines, problems } = await parseLines(content, endpoint, { bytes: limits.bodyBytes, depth: limits.jsonDepth })
  const created = openAi.created()
  const isGood = problems.length === 0
  return {
    id: `batch_${openAi.id()}`,
    owner,
    ...(key === undefined || key === '' ? {} : { key }),
    endpoint,
    input,
    status: isGood ? 'in_progress' : 'failed',
    problems,
    total: isGood ? lines.length : 0,
    created,
    expires: created + WINDOW_S,
    ended: isGood ? null : created,
    cancelling: null,
    counts: isGood ? null : { completed: 0, failed: 0 },
    metadata: metadata ?? null,
  }
}

function idOf(request: FastifyRequest): string {
  const { id } = request.params as { id?: string }
  if (id === undefined) throw new NoSuchRouteError()
  return id
}

function pageOf(query: unknown): { readonly limit: number; readonly after: string | undefined } {
  const { limit = String(PAGE), after } = query as { limit?: unknown; after?: unknown }
  const wanted = typeof limit === 'string' && /^\d{1,3}$/.test(limit) ? Number(limit) : 0
  if (wanted < 1 || wanted > MAX_PAGE) throw new InvalidParameterError('limit', `expected 1 to ${MAX_PAGE}`)
  return { limit: wanted, after: typeof after === 'string' ? after : undefined }
}
