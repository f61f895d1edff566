import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.Marshaller;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.ServerServiceDefinition;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.util.concurrent.TimeUnit;

/**
 * grpc-java on Netty: `/test.Service/Stream` sends as many messages as its request says, each with its number; and
 * `/test.Service/Call` answers with its request. Connections are ended by age, with GOAWAY. Prints its port.
 */
public final class Server {
  private static final Marshaller<byte[]> BYTES =
      new Marshaller<>() {
        public InputStream stream(byte[] value) {
          return new ByteArrayInputStream(value);
        }

        public byte[] parse(InputStream stream) {
          try {
            return stream.readAllBytes();
          } catch (IOException error) {
            throw new RuntimeException(error);
          }
        }
      };

  public static void main(String[] arguments) throws Exception {
    var service =
        ServerServiceDefinition.builder("test.Service")
            .addMethod(method("Stream", MethodType.SERVER_STREAMING), ServerCalls.asyncServerStreamingCall(Server::stream))
            .addMethod(method("Call", MethodType.UNARY), ServerCalls.asyncUnaryCall(Server::call))
            .build();
    var server =
        NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0))
            .maxConnectionAge(1, TimeUnit.SECONDS)
            .maxConnectionAgeGrace(60, TimeUnit.SECONDS)
            .maxConcurrentCallsPerConnection(100)
            .addService(service)
            .build()
            .start();
    System.out.println(server.getPort());
    server.awaitTermination();
  }

  private static MethodDescriptor<byte[], byte[]> method(String name, MethodType type) {
    return MethodDescriptor.<byte[], byte[]>newBuilder(BYTES, BYTES)
        .setType(type)
        .setFullMethodName(MethodDescriptor.generateFullMethodName("test.Service", name))
        .build();
  }

  private static void stream(byte[] request, StreamObserver<byte[]> answers) {
    var count = Integer.parseInt(new String(request));
    var call = (ServerCallStreamObserver<byte[]>) answers;
    var sent = new int[1];
    call.setOnReadyHandler(
        () -> {
          while (call.isReady() && sent[0] < count) {
            call.onNext(String.format("%08d", sent[0]++).getBytes());
          }
          if (sent[0] == count) {
            sent[0]++;
            call.onCompleted();
          }
        });
  }

  private static void call(byte[] request, StreamObserver<byte[]> answers) {
    answers.onNext(request);
    answers.onCompleted();
  }
}
