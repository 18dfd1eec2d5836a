import { membership } from './kinds/membership.ts'
import { durabilitySuite } from './suite.ts'

durabilitySuite(membership)
