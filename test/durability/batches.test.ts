import { KINDS } from './kinds/batches.ts'
import { durabilitySuite } from './suite.ts'

durabilitySuite('batches', KINDS)
