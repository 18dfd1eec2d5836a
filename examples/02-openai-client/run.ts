/** OpenAI's own client against a weft peer: only the address is different. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import OpenAI from 'openai'

const weft = fileURLToPath(new URL('../../bin/weft', import.meta.url))
const home = await mkdtemp(join(tmpdir(), 'weft-example-'))

// Any running peer would do; this one has a home of its own and sees nobody.
const options = ['up', '--json', '--home', home, '--lan', 'off', '--network', 'example-02', '--http', '127.0.0.1:0']
const peer = spawn(process.execPath, [weft, ...options], { stdio: ['ignore', 'pipe', 'inherit'] })
try {
  const [line] = (await once(createInterface({ input: peer.stdout }), 'line')) as [string]
  const { http } = JSON.parse(line) as { http: string }

  // On loopback no key is needed, but the client wants one.
  const client = new OpenAI({ baseURL: `${http}/v1`, apiKey: 'none' })
  const model = 'weft-tiny'
  for (const { id } of (await client.models.list()).data) process.stdout.write(`model: ${id}\n`)

  await importModel(http, model)
  const prompt = 'The captain looked at the sea and said that'
  const whole = await client.completions.create({ model, prompt, max_tokens: 24, temperature: 0 })
  process.stdout.write(`${prompt}${whole.choices[0]?.text}\n`)
  process.stdout.write(`tokens: ${whole.usage?.total_tokens}\n`)

  const stream = await client.completions.create({ model, prompt, max_tokens: 24, temperature: 0, stream: true })
  let text = ''
  for await (const chunk of stream) text += chunk.choices[0]?.text ?? ''
  process.stdout.write(`the same when streamed: ${text === whole.choices[0]?.text ? 'yes' : 'NO'}\n`)
} finally {
  const ended = once(peer, 'exit')
  peer.kill('SIGTERM')
  await ended
  await rm(home, { recursive: true, force: true })
}

/** OpenAI has no such call; `weft import` does the same. */
async function importModel(http: string, source: string): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const reply = await fetch(`${http}/api/v1/import`, { method: 'POST', headers, body: JSON.stringify({ source }) })
  await reply.text()
}
