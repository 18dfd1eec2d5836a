/** What cannot go in or out of a model is told before anything runs. */
import { expect, it } from 'vitest'
import { runRequest } from '../../../src/pipeline/graph/request.ts'
import type { RequestContext } from '../../../src/pipeline/graph/request.ts'
import type { PreparedGraph } from '../../../src/pipeline/graph/prepare/types.ts'
import { GraphRequestError } from '../../../src/pipeline/graph/errors.ts'
import type { Tensors } from '../../../src/pipeline/index.ts'
import { systemClock } from '../../../src/util/index.ts'

const PLAIN = { name: 'x', type: 'float32', shape: [1] } as const

async function run(ends: Pick<PreparedGraph, 'inputs' | 'outputs'>): Promise<number> {
  let flows = 0
  const graph = { ...ends, parts: [{}], batch: 'it has no batch' } as unknown as PreparedGraph
  const prepared = { graph, folder: '/nowhere', reused: false } as RequestContext['prepared']
  const flow = (): Promise<readonly Tensors[]> => {
    flows++
    return Promise.resolve([new Map()])
  }
  const context = { clock: systemClock(), prepared, optimization: 'off', where: '1', flow } as const
  await runRequest(context, new Map([['x', { type: 'float32', dims: [1], data: Float32Array.of(1) }]]), {})
  return flows
}

it.each(['sequence', 'optional', 'map', 'bfloat16', 'int4', 'float8e4m3fn'])(
  'a %s is refused at either end',
  async (type) => {
    const other = { name: 'other', type, shape: null }
    for (const ends of [
      { inputs: [PLAIN, other], outputs: [PLAIN] },
      { inputs: [PLAIN], outputs: [PLAIN, other] },
    ]) {
      const error: unknown = await run(ends).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(GraphRequestError)
      expect((error as Error).message).toContain(type)
    }
  },
)

it.each(['string', 'float16', 'unknown'])('%s is none of them', async (type) => {
  expect(await run({ inputs: [PLAIN], outputs: [{ name: 'y', type, shape: null }] })).toBe(1)
})
