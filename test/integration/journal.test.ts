import { once } from 'node:events'
import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isLong } from '../whole.ts'
import { socketPath } from '../../src/util/index.ts'
import { eventsOf, numbersOf, textOf, upTo } from '../api/resume-support.ts'
import type { Part } from '../api/resume-support.ts'
import { counter, createLab, TINY } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

/** No seed: chance has to be the same a second time. */
const BODY = { model: 'tiny', prompt: 'The whale', max_tokens: 400, temperature: 1, stream: true }

/** What a client reads over the socket of a home until its connection ends; `onCount` is called with each event. */
function read(home: string, last: string | null, onCount: (count: number) => void = () => undefined): Promise<Part> {
  const { promise, resolve, reject } = Promise.withResolvers<Part>()
  const headers = { 'content-type': 'application/json', ...(last === null ? {} : { 'last-event-id': last }) }
  const asking = request(
    { socketPath: socketPath(home, process.env), path: '/v1/completions', method: 'POST', headers },
    (answer) => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (chunk: string) => {
        text += chunk
        onCount(eventsOf(text).length)
      })
      answer.on('error', () => undefined)
      answer.on('close', () => {
        const events = eventsOf(text)
        const id = String(answer.headers['x-weft-request'])
        const status = answer.statusCode ?? 0
        resolve({ status, headers: new Headers(), events, request: id, last: events.at(-1)?.id ?? '' })
      })
    },
  )
  asking.on('error', reject)
  asking.end(JSON.stringify(last === null ? BODY : {}))
  return promise
}

describe.runIf(isLong)('an origin with a journal that is killed in mid-answer', () => {
  let lab: Lab
  let origin: RealPeer
  beforeAll(async () => {
    lab = await createLab()
    origin = await lab.start('a', ['--lan', 'off', '--journal'])
    await origin.access.importModel({ source: TINY, name: 'tiny', measure: 'never' }, () => undefined)
  }, 120_000)
  afterAll(() => lab.stop())

  it('is started again, and its client gets the rest: the text is whole, and each event comes once', async () => {
    const { home, child } = origin
    const exit = once(child, 'exit')
    const part = await read(home, null, (count) => count >= 20 && child.kill('SIGKILL'))
    expect(part.status).toBe(200)
    await exit
    expect(part.events.length).toBeLessThan(300)
    origin = await lab.start('a', ['--lan', 'off', '--journal'])
    const rest = await read(home, part.last)
    expect(rest).toMatchObject({ status: 200, request: part.request })
    const events = [...part.events, ...rest.events]
    expect(numbersOf({ request: part.request, events })).toEqual(upTo(1, events.length))
    expect(events.at(-1)?.data).toBe('[DONE]')
    expect(await counter(origin, 'journal_restored')).toBe(1)
    // All of it, as the second process has computed it: the first one's part of it is the same.
    const whole = await read(home, `${part.request}:0`)
    expect(textOf(whole.events)).toBe(textOf(events))
    expect(whole.events.slice(0, part.events.length)).toEqual(part.events)
  }, 60_000)
})
