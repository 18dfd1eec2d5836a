/**
 * A prompt that the context of a GGUF model has no room for, at the border and beyond it: by the command line, by OpenAI's own
 * client and by the library, as numbers and as text. What has room is answered, and ends where the context does.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPeer } from '../../src/index.ts'
import type { Peer } from '../../src/index.ts'
import { json, weft } from '../cli/support.ts'
import type { Outcome } from '../cli/support.ts'
import { writeGguf } from '../models/support/gguf-writer.ts'
import { tinyLlama, withKeys } from '../models/support/tiny-llama.ts'
import { createLab } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

const CONTEXT = 48
/** More than any context has. */
const MANY = 10_000
const CODE = 'WEFT-INF-041'
const BORDER = [CONTEXT - 1, CONTEXT, CONTEXT + 1] as const
const BYTE_B = 5

const ids = (count: number): number[] => Array.from({ length: count }, () => BYTE_B)
const refused = (tokens: number): object => ({ tokens, context: CONTEXT })

describe('a prompt at the border of the context', () => {
  let lab: Lab
  let peer: RealPeer
  let library: Peer
  let client: OpenAI
  /** Tokens that a text has before its letters. */
  let before: number
  const letters = (tokens: number): string => 'b'.repeat(tokens - before)

  const run = (...args: readonly string[]): Promise<Outcome> =>
    weft(['run', 'short', ...args, '--temperature', '0', '--home', peer.home])

  beforeAll(async () => {
    lab = await createLab()
    mkdirSync(lab.home('files'), { recursive: true })
    const source = join(lab.home('files'), 'short.gguf')
    const context = { key: 'llama.context_length', type: 'u32', value: CONTEXT } as const
    writeFileSync(source, writeGguf(withKeys(tinyLlama(), { [context.key]: context })))
    peer = await lab.startOnLan('a', '127.0.0.1:0', [])
    await peer.access.importModel({ source, name: 'short' }, () => undefined)
    library = await createPeer({ home: lab.home('library'), offline: true, threads: 1, logLevel: 'warn' })
    await library.importModel(source, { name: 'short' })
    client = new OpenAI({ baseURL: `${peer.http!}/v1`, apiKey: 'none', maxRetries: 0 })
    const { promptIds } = await library.generate({ model: 'short', prompt: 'b', maxTokens: 1 }).answer()
    before = promptIds.length - 1
  }, 180_000)

  afterAll(async () => {
    await library?.stop()
    await lab.stop()
  })

  it.each(BORDER)('of %d tokens by the command line', async (tokens) => {
    const ways = [['--ids', ids(tokens).join(',')]]
    if (tokens === CONTEXT) ways.push(['--raw', letters(tokens), '--local'])
    for (const way of ways) {
      const { status, stdout, stderr } = await run(...way, '--max-tokens', String(MANY), '--json')
      const told = json(stdout)
      if (tokens < CONTEXT) {
        expect({ status, told }).toMatchObject({ status: 0, told: { finish: 'length' } })
        expect((told['prompt_ids'] as number[]).length).toBe(tokens)
        expect((told['ids'] as number[]).length).toBe(CONTEXT - tokens)
      } else {
        expect({ status, stderr }).toEqual({ status: 2, stderr: '' })
        expect(told).toMatchObject({ schema: 'weft.error/1', error: { code: CODE, details: refused(tokens) } })
      }
    }
  })

  it('beyond it is one line with its code for people, and not a word of an answer', async () => {
    const { status, stdout, stderr } = await run('--raw', letters(CONTEXT + 1))
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
    expect(stderr).toMatch(/^error: the prompt has 49 tokens, the context holds 48 +WEFT-INF-041\n {2}try: .*\n$/)
  })

  it.each(BORDER)("of %d tokens by OpenAI's client, whole and streamed", async (tokens) => {
    const more = { model: 'short', max_tokens: MANY, temperature: 0 } as const
    for (const prompt of [ids(tokens), letters(tokens)]) {
      const whole = async () => client.completions.create({ ...more, prompt })
      const streamed = async () => client.completions.create({ ...more, prompt, stream: true })
      if (tokens < CONTEXT) {
        const { usage, choices } = await whole()
        expect(usage).toMatchObject({ prompt_tokens: tokens, completion_tokens: CONTEXT - tokens })
        expect(choices).toMatchObject([{ finish_reason: 'length' }])
        const ends: unknown[] = []
        for await (const { choices: parts } of await streamed()) ends.push(parts[0]?.finish_reason)
        expect(ends.at(-1)).toBe('length')
      } else {
        const expected = {
          status: 400,
          type: 'invalid_request_error',
          code: 'context_length_exceeded',
          error: { message: `the prompt has ${tokens} tokens, the context holds ${CONTEXT}` },
        }
        // Streamed: before the stream begins, with a status.
        await expect(whole()).rejects.toMatchObject(expected)
        await expect(streamed()).rejects.toMatchObject(expected)
      }
    }
  })

  it("of a chat that is too long has OpenAI's code, and ours beside it", async () => {
    const body = { model: 'short', messages: [{ role: 'user', content: letters(CONTEXT + 1) }] }
    const answer = await fetch(`${peer.http!}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({
      error: { type: 'invalid_request_error', code: 'context_length_exceeded' },
      weft: { code: CODE, details: { context: CONTEXT } },
    })
  })

  it.each(BORDER)('of %d tokens by the library', async (tokens) => {
    for (const prompt of [{ ids: ids(tokens) }, { prompt: letters(tokens) }]) {
      const wanted = library.generate({ model: 'short', ...prompt, maxTokens: MANY, temperature: 0 }).answer()
      if (tokens < CONTEXT) {
        const { finish, ids: given } = await wanted
        expect({ finish, given: given.length }).toEqual({ finish: 'length', given: CONTEXT - tokens })
      } else {
        await expect(wanted).rejects.toMatchObject({ code: CODE, details: refused(tokens) })
      }
    }
  })

  it('ends an answer with the context where more tokens were asked for, and the peer serves on', async () => {
    const prompt = ids(CONTEXT - 5)
    const { stdout } = await run('--ids', prompt.join(','), '--max-tokens', String(MANY), '--json')
    const told = json(stdout)
    expect(told).toMatchObject({ finish: 'length' })
    const { ids: given } = await library
      .generate({ model: 'short', ids: prompt, maxTokens: 5, temperature: 0 })
      .answer()
    expect(told['ids']).toEqual(given)
    expect(given).toHaveLength(5)
    expect((await peer.access.status()).requests).toEqual([])
  })
})
