import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MODEL } from './fake-peer.ts'
import { failure, post, start } from './support.ts'
import type { Running } from './support.ts'

let running: Running
beforeAll(async () => {
  running = await start()
})
afterAll(() => running.api.close())
const ask = (body: object): Promise<Response> => post(running.url, '/api/v1/plan', body)

describe('POST /api/v1/plan', () => {
  it('answers weft.plan/1 for what was asked, twice the same', async () => {
    const body = { model: MODEL, objective: 'throughput', concurrency: 4, context: 100, prompt: 7, explain: true }
    const plan = (await (await ask(body)).json()) as Record<string, unknown>
    expect(plan).toMatchObject({ schema: 'weft.plan/1', model: MODEL, objective: 'throughput', concurrency: 4 })
    expect(plan).toMatchObject({ context: 100, prediction: { prompt_tokens: 7 }, terms: [{ kind: 'compute' }] })
    expect(await (await ask(body)).json()).toEqual(plan)
    const changed = (await (await ask({ model: MODEL, what_if: ['add:b=pi5'] })).json()) as Record<string, unknown>
    expect(changed['stages']).toEqual([{ peer: 'b', from: 0, to: 1 }])
  })

  it('refuses a change that cannot be, a field that nobody knows, and figures that mean nothing', async () => {
    const change = await ask({ model: MODEL, what_if: ['remove:nobody'] })
    expect(change.status).toBe(400)
    expect((await failure(change)).weft.code).toBe('WEFT-PLN-012')
    for (const wrong of [{ colour: 1 }, { objective: 'fun' }, { concurrency: 0 }, { context: -1 }, { prompt: 0.5 }]) {
      expect((await ask({ model: MODEL, ...wrong })).status, JSON.stringify(wrong)).toBe(400)
    }
    expect((await ask({ model: MODEL, what_if: Array.from({ length: 65 }, () => 'x') })).status).toBe(400)
    expect((await ask({ model: 'none' })).status).toBe(404)
  })
})
