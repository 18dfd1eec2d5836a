/** The command line: parse, find the verb's file, run it, turn what happened into an exit status. Dispatch only. */
import { EXIT, toWeftError } from '../errors.ts'
import { resolveHomePath } from '../util/index.ts'
import { flagsOf } from './context.ts'
import type { Command, CommandContext } from './context.ts'
import { InterruptedError, NotBuiltError } from './errors.ts'
import { statusOf, watchInterrupts } from './interrupts.ts'
import { processIo } from './io.ts'
import type { CliIo } from './io.ts'
import type { ParsedCommand } from './option-types.ts'
import { createOutput } from './output.ts'
import type { Output } from './output.ts'
import { parseCommandLine, wantsJson } from './parse.ts'
import type { ParsedLine } from './parse.ts'
import { VERBS } from './verbs.ts'

/** Runs one command line and resolves to its exit status; never rejects. */
export async function main(argv: readonly string[], io: CliIo): Promise<number> {
  // Until the line is understood, only its form is known: an error about it must still be JSON where JSON was wanted.
  let out = createOutput(io, {
    json: wantsJson(argv),
    jsonl: false,
    quiet: false,
    verbose: argv.includes('--verbose'),
    noColor: argv.includes('--no-color'),
  })
  try {
    const line = parseCommandLine(argv)
    const is = (name: string): boolean => line.values.get(name) === true
    const [json, jsonl, quiet, verbose] = [is('json'), is('jsonl'), is('quiet'), is('verbose')]
    out = createOutput(io, { json, jsonl, quiet, verbose, noColor: is('no-color') })
    const flag = line.values.get('home')
    const home = resolveHomePath(typeof flag === 'string' ? flag : undefined, io.env)
    if (line.command === null || line.help) {
      await showHelp(io, out, line, home)
      return EXIT.ok
    }
    return await execute(line.command, { io, out, home })
  } catch (error) {
    return report(error, out)
  }
}

/** The entry of bin/weft. */
export async function runProcess(): Promise<void> {
  const io = processIo()
  // Without a listener a reader that went away would end the process with a stack.
  io.stdout.on('error', () => {})
  io.stderr.on('error', () => {})
  const status = await main(process.argv.slice(2), io)
  // A peer in this process may hold timers of libp2p's, so the end is explicit; what is printed must be out by then.
  io.stdout.write('', () => io.stderr.write('', () => process.exit(status)))
}

async function execute(command: ParsedCommand, parts: Pick<CommandContext, 'io' | 'out' | 'home'>): Promise<number> {
  const actions: (() => Promise<void> | void)[] = []
  const interrupts = watchInterrupts(parts.io)
  try {
    const run = await loadCommand(command.spec.verb)
    const status = await run({
      ...parts,
      flags: flagsOf(command),
      signal: interrupts.signal,
      takeSignals: (listener) => interrupts.takeOver(listener),
      defer: (action) => void actions.push(action),
    })
    return status ?? EXIT.ok
  } catch (error) {
    return report(interrupts.signal.aborted ? interrupts.signal.reason : error, parts.out)
  } finally {
    for (const action of actions.reverse()) await settle(action)
    interrupts.end()
  }
}

async function loadCommand(verb: string): Promise<Command> {
  const load = VERBS[verb]
  if (load === undefined) throw new NotBuiltError(`verb ${verb}`)
  return (await load()).command
}

/** What stops badly must not hide what the command had to say. */
async function settle(action: () => Promise<void> | void): Promise<void> {
  try {
    await action()
  } catch {
    // The process ends in a moment; there is nobody left to use it.
  }
}

function report(error: unknown, out: Output): number {
  if (error instanceof InterruptedError) return error.signal === 'EPIPE' ? EXIT.ok : statusOf(error.signal)
  const known = toWeftError(error)
  out.error(known)
  return known.info.exit
}

async function showHelp(io: CliIo, out: Output, line: ParsedLine, home: string): Promise<void> {
  const help = await import('./help.ts')
  if (out.structured) out.document(help.helpDocument(line.command?.spec))
  else if (line.command !== null) out.lines(help.commandHelp(line.command.spec, out.paint, line.command.positional[0]))
  else if (line.help) out.lines(help.fullHelp(out.paint))
  else out.lines([...help.shortHelp(out.paint), '', await help.stateLine(io, home, out.paint)])
}
