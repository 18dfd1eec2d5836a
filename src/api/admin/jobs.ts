/** Jobs that tell their progress: JSON lines, then a result or an error. The stream begins with the first line. */
import type { ErrorData } from '../../errors.ts'
import { errorData } from '../../errors.ts'
import type { Peer, Progress, ProgressSink, StreamLine } from '../../peer/index.ts'
import { untilAborted } from '../abortable.ts'
import { check } from '../check.ts'
import { publicError } from '../error-body.ts'
import type { Exchange } from '../exchange.ts'
import type { Measure } from '../measure.ts'
import { routeHeader } from '../openai/shapes.ts'
import type { GenerateRequest } from '../../pipeline/index.ts'
import type { Asked } from '../resume/asked.ts'
import type { Streams } from '../resume/streams.ts'
import {
  deploySchema,
  generateSchema,
  importSchema,
  netcheckSchema,
  pingSchema,
  trainSchema,
} from './request-schema.ts'
import { orAbort } from '../../util/index.ts'

export function line(value: StreamLine | object): string {
  return `${JSON.stringify(value)}\n`
}

export function errorLine(error: unknown): string {
  const data: ErrorData = errorData(publicError(error))
  return line({ type: 'error', error: data })
}

/** An error before the first line is an HTTP status; later it is the last line. */
export async function answerGenerate(
  needs: { readonly peer: Peer; readonly measure: Measure; readonly streams: Streams },
  exchange: Exchange,
  body: unknown,
  asked: Asked,
): Promise<undefined> {
  const { request, resumeS } = check(generateSchema, body)
  const { model } = request
  return needs.streams.open(exchange, { route: 'generate', kind: 'jsonl', model, body, asked, resumeS }, (within) =>
    generateLines(needs, within, request),
  )
}

async function generateLines(
  needs: { readonly peer: Peer; readonly measure: Measure },
  exchange: Exchange,
  request: GenerateRequest,
): Promise<void> {
  const meter = needs.measure.begin('generate')
  try {
    for await (const event of untilAborted(needs.peer.generate(request, exchange.signal), exchange.signal)) {
      if (event.type === 'start') {
        exchange.header('x-weft-route', routeHeader(event.route))
        meter.model(request.model)
      } else if (event.type === 'token') meter.token()
      await exchange.stream('jsonl').write(line(event))
    }
    exchange.stream('jsonl').end()
    meter.end(null)
  } catch (error) {
    meter.end(publicError(error).code)
    throw error
  }
}

export function answerImport(peer: Peer, exchange: Exchange, body: unknown): Promise<undefined> {
  const request = check(importSchema, body)
  return runJob(exchange, (progress) => peer.importModel(request, progress, exchange.signal))
}

export function answerDeploy(peer: Peer, exchange: Exchange, body: unknown): Promise<undefined> {
  const { model, placement } = check(deploySchema, body)
  return runJob(exchange, (progress) => peer.deploy(model, placement, progress, exchange.signal))
}

export function answerTrain(peer: Peer, exchange: Exchange, body: unknown): Promise<undefined> {
  const request = check(trainSchema, body)
  return runJob(exchange, (progress) => peer.train(request, progress, exchange.signal))
}

export async function answerPing(peer: Peer, exchange: Exchange, body: unknown): Promise<undefined> {
  const { peer: target, ...options } = check(pingSchema, body)
  for await (const reply of untilAborted(peer.ping(target, options, exchange.signal), exchange.signal))
    await exchange.stream('jsonl').write(line(reply))
  exchange.stream('jsonl').end()
}

export function answerNetcheck(peer: Peer, exchange: Exchange, body: unknown): Promise<undefined> {
  const options = check(netcheckSchema, body)
  return runJob(exchange, (progress) => peer.netcheck(options, progress, exchange.signal))
}

/** Only the newest progress is kept while the client is slow: a fast job cannot fill memory. */
async function runJob(exchange: Exchange, job: (progress: ProgressSink) => Promise<unknown>): Promise<undefined> {
  let newest: Progress | null = null
  let written: Promise<void> = Promise.resolve()
  const writeNewest = async (): Promise<void> => {
    const step = newest
    newest = null
    if (step !== null) await exchange.stream('jsonl').write(line(step))
  }
  const progress: ProgressSink = (step) => {
    if (newest === null) {
      written = written.then(writeNewest)
      // A failure stays in the chain and is thrown below; here nobody waits for it yet.
      written.catch(() => undefined)
    }
    newest = step
  }
  const result = await orAbort(job(progress), exchange.signal)
  await written
  const writer = exchange.stream('jsonl')
  await writer.write(line({ type: 'result', result }))
  writer.end()
}
