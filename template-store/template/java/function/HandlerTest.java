import faas.Request;

/** Run by `faas test`, with assertions on. */
public class HandlerTest {
    public static void main(String[] arguments) {
        assert new Handler().handle(Request.of("hello")).body().length == 5 : "it does not answer what it is sent";
        System.out.println("ok: it answers what it is sent");
    }
}
