/**
 * `npm start`: the main job on one machine. Peers as processes of their own find each other, divide a model between
 * them and answer; it says who did what and how fast. In a terminal it then stays up until Ctrl-C.
 */
import { parseArgs } from 'node:util'
import { errorLines } from './output.ts'
import { toWeftError } from '../errors.ts'
import { runDemo } from './demo/run.ts'
import { processIo } from './io.ts'
import { DemoUsageError } from './demo/errors.ts'
import { painter } from './text.ts'

const MAX_PEERS = 8
const HELP = `usage: npm start -- [--model NAME|FILE] [--peers N] [--prompt TEXT] [--max-tokens N]

  --model NAME|FILE  what answers (default: smollm2:135m, or the model that comes with weft)
  --peers N          processes that it is divided between, 1 to ${MAX_PEERS} (default 3)
  --prompt TEXT      what is asked
  --max-tokens N     of the answer (default 64)
`

async function main(): Promise<number> {
  const io = processIo()
  const abort = new AbortController()
  let interrupted = 0
  io.onSignal((signal) => {
    interrupted = signal === 'SIGTERM' ? 143 : 130
    if (abort.signal.aborted) io.abort(interrupted)
    abort.abort(new DemoUsageError('interrupted'))
  })
  try {
    if (asksForHelp(process.argv.slice(2))) {
      io.stdout.write(HELP)
      return 0
    }
    await runDemo(io, demoOptions(process.argv.slice(2)), abort.signal)
    return interrupted
  } catch (error) {
    if (interrupted !== 0) return interrupted
    const known = toWeftError(error)
    io.stderr.write(`${errorLines(known, painter(io.stderr, io.env, false)).join('\n')}\n`)
    return known.info.exit
  }
}

function asksForHelp(argv: readonly string[]): boolean {
  return argv.includes('--help') || argv.includes('-h')
}

function demoOptions(argv: readonly string[]): Parameters<typeof runDemo>[1] {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        model: { type: 'string' },
        peers: { type: 'string', default: '3' },
        prompt: { type: 'string' },
        'max-tokens': { type: 'string', default: '64' },
      },
    })
    const peers = whole('--peers', values.peers, 1, MAX_PEERS)
    const maxTokens = whole('--max-tokens', values['max-tokens'], 1, 100_000)
    return { model: values.model, prompt: values.prompt, peers, maxTokens }
  } catch (error) {
    if (error instanceof DemoUsageError) throw error
    throw new DemoUsageError(error instanceof Error ? error.message.split('. ')[0]! : String(error))
  }
}

function whole(flag: string, text: string, low: number, high: number): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= low && value <= high) return value
  throw new DemoUsageError(`${flag} takes a whole number from ${low} to ${high}, not ${text}`)
}

process.exitCode = await main()
