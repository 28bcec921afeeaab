/**
 * What programs of each level have written, byte for byte. It is read for ever, and never edited: an encoding that changes gets a new level
 * (`LEVELS`), and its bytes stand beside these. Each room's `golden.test.ts` holds what it writes and what it reads against them.
 */
export const GOLDEN = {
  /** Inbox messages, by what is in them; at level 2, those that are not as they were. */
  envelopes: {
    gateway: {
      1: {
        'a bare create': String.raw`{"v":1,"g":"gateway-1","r":[{"c":1024,"k":"create","m":2020784868784630,"id":"6df2878f718a8a02b06b7d011ea3b596","s":"a1790000060000","t":"[\"acme\",\"q\",\"h\",1,3,1000,2,3600000,0.2,300000]","p":"null","d":"{}","tp":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}]}`,
        'a whole create': String.raw`{"v":1,"g":"gateway-1","r":[{"c":1024,"k":"create","m":8393045481269910,"id":"14d2a0b81dfb8d37be4046474bc8e284","key":"order-17","s":"c0 7 * * MON-FRI;Europe/Vienna","t":"[\"acme\",\"mail\",\"send\",0,5,2000,3,60000,0.5,30000,0,2,3600000]","p":"{\"to\":\"ä@b.c\"}","d":"{\"tenant\":\"a\"}","tp":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}]}`,
        'an update':
          '{"v":1,"g":"gateway-1","r":[{"c":1024,"k":"update","m":3780445554449441,"id":"14d2a0b81dfb8d37be4046474bc8e284","ns":"acme","s":"e300000","t":{"priority":2},"p":"7"}]}',
        'a calendar': String.raw`{"v":1,"g":"gateway-1","r":[{"c":1024,"k":"calendar","m":1803870545457902,"ns":"acme","name":"holidays","v":1832960000000750,"d":"{\"timezone\":\"Europe/Berlin\",\"exclude\":[\"12-25\"]}"}]}`,
        'a redelivery':
          '{"v":1,"g":"gateway-1","r":[{"c":1024,"k":"redelivered","x":"6df2878f718a8a02b06b7d011ea3b596-mubbthsw","ns":"acme","a":1,"w":"w","n":2,"p":true}]}',
        'a result':
          '{"v":1,"g":"gateway-1","r":[{"c":1024,"k":"result","x":"6df2878f718a8a02b06b7d011ea3b596-mubbthsw","ns":"acme","a":2,"o":"failed","w":"w","dl":1790000000000,"st":1790000000001,"fi":1790000000002,"e":"no","f":true,"v":"[1]"}]}',
        'a bare result':
          '{"v":1,"g":"gateway-1","r":[{"c":1024,"k":"result","x":"6df2878f718a8a02b06b7d011ea3b596-mubbthsw","ns":"acme","a":1,"o":"succeeded","w":"w","dl":0,"st":0,"fi":0}]}',
        'a cancel':
          '{"v":1,"g":"gateway-1","r":[{"c":1024,"k":"cancel","m":7261972743116022,"id":"14d2a0b81dfb8d37be4046474bc8e284","ns":"acme"}]}',
      },
      2: {
        'a bare create': String.raw`{"v":2,"g":"gateway-1","r":[{"c":1024,"k":"create","m":2020784868784630,"id":"6df2878f718a8a02b06b7d011ea3b596","s":"a1790000060000","t":"[\"acme\",\"q\",\"h\",1,3,1000,2,3600000,0.2,300000]","p":"null","tp":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}]}`,
      },
    },
    scheduler: {
      'an ownership': '{"v":1,"g":"","r":[{"k":"ownership","c":0,"epoch":1,"node":"a"}]}',
      'a loss': '{"v":1,"g":"","r":[{"k":"ownership","c":0,"epoch":2,"node":"a","lost":true}]}',
    },
  },
  /** Two envelopes of different shards in one inbox message. */
  bundle: {
    text: '{"v":1,"parts":[3,126,17,65]}\n{"v":1,"g":"gateway-1","r":[{"c":1024,"k":"cancel","m":7261972743116022,"id":"14d2a0b81dfb8d37be4046474bc8e284","ns":"acme"}]}{"v":1,"g":"","r":[{"k":"ownership","c":0,"epoch":1,"node":"a"}]}',
    shards: [3, 17],
  },
  work: {
    single:
      '{"v":1,"execution":"7bdb4edc326788e9adef7a6dddde4bea-mubbs8a0","task":"7bdb4edc326788e9adef7a6dddde4bea","namespace":"acme","key":"one-2","queue":"mail","handler":"send","attempt":1,"scheduledAt":1790000001000,"dispatchedAt":1790000001000,"epoch":1,"timeoutMs":10000,"metadata":{},"payload":"one"}',
    parcel:
      '[{"v":1,"execution":"124dcd1c7851892cb845a1878813ab44-mubbs91s","task":"124dcd1c7851892cb845a1878813ab44","namespace":"acme","key":"two-2","queue":"mail","handler":"send","attempt":1,"scheduledAt":1790000002000,"dispatchedAt":1790000002000,"epoch":1,"timeoutMs":10000,"metadata":{},"payload":"two"},{"v":1,"execution":"36de69a849038d679de50e9416033cf8-mubbs91s","task":"36de69a849038d679de50e9416033cf8","namespace":"acme","key":"three-11","queue":"mail","handler":"send","attempt":1,"scheduledAt":1790000002000,"dispatchedAt":1790000002000,"epoch":1,"timeoutMs":10000,"metadata":{},"payload":"three"}]',
  },
  /** Answers of shards to gateways, message by message. */
  replies: [
    '{"v":1,"a":[[2,{"ok":true,"status":"created","next":[1790000001000]}]]}',
    '{"v":1,"a":[[3,{"ok":false,"error":{"code":"unknown_execution","message":"the task has no such fire"}}]]}',
  ],
  /** What the leader leaves for all nodes and the next leader. */
  placement: {
    1: '{"term":7,"version":31,"nodes":["n1","n2"],"assignment":[0,1],"drained":["n3"],"pins":[{"shard":1,"node":"n2"}]}',
    2: '{"term":7,"version":31,"nodes":["n1","n2"],"assignment":[0,1],"level":2,"drained":["n3"],"pins":[{"shard":1,"node":"n2"}],"losses":{"n3":[1790000000000]}}',
  },
  heartbeats: {
    node: '{"node":"n1","cores":2,"leaving":false,"owned":[0,1],"atMs":1790000000000}',
    process: {
      1: '{"v":1,"node":"n1","roles":["scheduler"],"version":"0.1.0","cores":2,"host":"h","machine":"m","pid":41,"startedAt":1790000000000,"clock":{"state":"calm","skewMs":3},"scheduler":{"shards":2,"tasks":7,"backlog":0,"underWay":1,"unread":2,"waitingRows":0}}',
      2: '{"v":1,"node":"n1","roles":["scheduler"],"version":"0.1.0","level":2,"cores":2,"host":"h","machine":"m","pid":41,"startedAt":1790000000000,"clock":{"state":"calm","skewMs":3},"scheduler":{"shards":2,"tasks":7,"backlog":0,"underWay":1,"unread":2,"waitingRows":0}}',
    },
    worker: '{"worker":"w-1","queues":["mail"],"capacity":10,"running":[],"parcel":16}',
  },
} as const;
