/** weft import, embed, ls and show of an encoder, and its HTTP face, at a real peer; again after it was started anew. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CONTEXT, WIDTH, writeEncoderFolder } from '../models/support/tiny-encoder.ts'
import { BIN, call, json, weft } from './support.ts'

let folder: string
let child: ChildProcess
let client: OpenAI

async function up(): Promise<OpenAI> {
  const args = ['--lan', 'off', '--http', '127.0.0.1:0', '--listen', '/ip4/127.0.0.1/tcp/0', '--threads', '1']
  child = spawn(process.execPath, [BIN, 'up', '--json', '--home', join(folder, 'home'), ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [line] = (await once(createInterface({ input: child.stdout! }), 'line')) as [string]
  return new OpenAI({ baseURL: `${json(line)['http'] as string}/v1`, apiKey: 'any', maxRetries: 0 })
}

async function down(): Promise<void> {
  child.kill('SIGTERM')
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

const run = async (...args: readonly string[]): Promise<string> => {
  const { status, stdout, stderr } = await call([...args, '--home', join(folder, 'home')])
  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' })
  return stdout
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-cli-embed-'))
  client = await up()
}, 60_000)
afterAll(async () => {
  await down()
  await rm(folder, { recursive: true, force: true })
})

describe('an encoder at a running peer', () => {
  let first: readonly number[] = []

  it('is imported, listed and shown, and gives vectors on the command line', async () => {
    const imported = await run('import', await writeEncoderFolder(join(folder, 'encoder'), { types: true }), '--json')
    expect(json(imported)).toMatchObject({ schema: 'weft.model/1', model: 'encoder' })
    expect(await run('ls')).toContain(`encoder, ${WIDTH} dimensions`)
    expect(await run('show', 'encoder')).toMatch(
      new RegExp(`encoder, ${WIDTH} dimensions, ${CONTEXT} tokens[^]*mean of last_hidden_state, of length 1`),
    )
    const lines = (await run('embed', 'encoder', 'the sea', 'dog')).trim().split('\n').map(json)
    expect(lines.map(({ index }) => index)).toEqual([0, 1])
    first = lines[0]!['embedding'] as number[]
    expect(first.length).toBe(WIDTH)
    const home = ['--home', join(folder, 'home')]
    const all = await weft(['embed', 'encoder', '-', '--json', ...home], { input: 'the sea\n' })
    expect(json(all.stdout)).toMatchObject({
      schema: 'weft.embeddings/1',
      model: 'encoder',
      vectors: [first],
      tokens: 4,
    })
  })

  it("gives the same bits to OpenAI's client, and refuses as OpenAI does", async () => {
    const numbers = await client.embeddings.create({
      model: 'encoder',
      input: ['dog', 'the sea'],
      encoding_format: 'float',
    })
    expect(numbers.data[1]!.embedding).toEqual(first)
    const decoded = await client.embeddings.create({ model: 'encoder', input: 'the sea' })
    expect(Array.from(decoded.data[0]!.embedding)).toEqual(first)
    const long = client.embeddings.create({ model: 'encoder', input: 'sea '.repeat(CONTEXT) })
    await expect(long).rejects.toMatchObject({ status: 400, code: 'WEFT-INF-110' })
    const messages = [{ role: 'user' as const, content: 'hi' }]
    const chat = client.chat.completions.create({ model: 'encoder', messages })
    await expect(chat).rejects.toMatchObject({ status: 400, code: 'WEFT-MOD-090' })
  })

  it('is there when the peer was started again', async () => {
    await down()
    client = await up()
    const { data } = await client.embeddings.create({ model: 'encoder', input: 'the sea' })
    expect(Array.from(data[0]!.embedding)).toEqual(first)
  })
})
