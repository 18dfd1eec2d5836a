/** A guarded program that behaves as it is told. */
import { runGuardedProgram } from '../../../src/util/index.ts'

await runGuardedProgram(async ({ input, emit, signal }) => {
  const { mode } = input as { mode: string }
  const kept: unknown[] = []
  emit('begun')
  switch (mode) {
    case 'buffers':
      for (;;) kept.push(Buffer.alloc(1 << 20, 1))
    case 'objects':
      for (;;) kept.push({ at: kept.length, text: `object ${kept.length}` })
    case 'loop':
      for (;;);
    case 'throw':
      throw new Error('as it was told')
    case 'crash':
      process.stderr.write('the last word\n')
      process.exit(7)
      break
    case 'long line':
      emit('x'.repeat(9_000_000))
      break
    case 'many':
      for (let at = 0; at < 5; at++) emit(at)
      break
    case 'noise':
      process.stdout.write('{"type":"result","value":"from a library"}\n')
      process.stderr.write('a warning\n')
      break
    case 'wait':
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      break
  }
  return { mode, kept: kept.length }
})
